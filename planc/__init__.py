"""planc: a compiler for parallelism plans of PyTorch models.

    import planc

    plan = planc.load("llama.plan")
    result = planc.check("llama.plan", tp=8, model="llama-3-8b")

What is imported here is loaded on first use: `import planc` costs next to nothing.
"""

from __future__ import annotations

from planc.version import __version__ as __version__

# Not from `typing`, which takes half as long to load as Python itself.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from planc.api import (
        PlanError,
        capture,
        check,
        from_data,
        load,
        load_weights,
        materialize,
        parallelize,
        parse,
        to_data,
        to_text,
    )
    from planc.ir.diagnostic import ModelFault
    from planc.ir.errors import WeightsError
    from planc.ir.expr import Expr
    from planc.ir.graph import ModelGraph
    from planc.ir.layout import Layout
    from planc.ir.pattern import Pattern
    from planc.ir.plan import Axis, LayoutLet, Mesh, Option, PatternLet, Plan, Require
    from planc.syntax.blocks.block_settings import Setting
    from planc.syntax.blocks.compile_block import Compile, CompileBlock
    from planc.syntax.blocks.fsdp_block import FsdpBlock, Unit
    from planc.syntax.blocks.recompute_block import Recompute, RecomputeBlock
    from planc.syntax.blocks.tensor_block import (
        Attribute,
        Loss,
        ParamLayout,
        Part,
        Port,
        Rule,
        TensorBlock,
    )

_EXPORTS_BY_MODULE = {
    "planc.api": (
        "PlanError",
        "capture",
        "check",
        "from_data",
        "load",
        "load_weights",
        "materialize",
        "parallelize",
        "parse",
        "to_data",
        "to_text",
    ),
    "planc.ir.plan": ("Axis", "LayoutLet", "Mesh", "Option", "PatternLet", "Plan", "Require"),
    "planc.syntax.blocks.block_settings": ("Setting",),
    "planc.syntax.blocks.tensor_block": (
        "Attribute",
        "Loss",
        "ParamLayout",
        "Part",
        "Port",
        "Rule",
        "TensorBlock",
    ),
    "planc.syntax.blocks.fsdp_block": ("FsdpBlock", "Unit"),
    "planc.syntax.blocks.recompute_block": ("Recompute", "RecomputeBlock"),
    "planc.syntax.blocks.compile_block": ("Compile", "CompileBlock"),
    "planc.ir.pattern": ("Pattern",),
    "planc.ir.expr": ("Expr",),
    "planc.ir.layout": ("Layout",),
    "planc.ir.graph": ("ModelGraph",),
    "planc.ir.diagnostic": ("ModelFault",),
    "planc.ir.errors": ("WeightsError",),
}
_MODULE_OF = {name: module for module, names in _EXPORTS_BY_MODULE.items() for name in names}

__all__ = [
    "Attribute", "Axis", "Compile", "CompileBlock", "Expr", "FsdpBlock", "Layout", "LayoutLet",
    "Loss", "Mesh", "ModelFault", "ModelGraph", "Option", "ParamLayout", "Part", "Pattern", "PatternLet", "Plan", "PlanError",
    "Port", "Recompute", "RecomputeBlock", "Require", "Rule", "Setting", "TensorBlock", "Unit", "WeightsError",
    "capture", "check", "from_data", "load", "load_weights", "materialize", "parallelize", "parse", "to_data", "to_text",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'planc' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
