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
        full,
        load,
        load_weights,
        materialize,
        parallelize,
        parse,
        to_data,
        to_text,
    )
    from planc.ir.blocks import (
        Attribute,
        Compile,
        CompileBlock,
        FsdpBlock,
        Loss,
        ParamLayout,
        Part,
        Port,
        Recompute,
        RecomputeBlock,
        Rule,
        Setting,
        TensorBlock,
        Unit,
    )
    from planc.ir.diagnostic import ModelFault
    from planc.ir.errors import CallError, WeightsError
    from planc.ir.expr import Expr
    from planc.ir.graph import ModelGraph
    from planc.ir.layout import Layout
    from planc.ir.pattern import Pattern
    from planc.ir.plan import Accept, Axis, LayoutLet, Mesh, Option, PatternLet, Plan, Require

_EXPORTS_BY_MODULE = {
    "planc.api": (
        "PlanError", "capture", "check", "from_data", "full", "load", "load_weights", "materialize", "parallelize",
        "parse", "to_data", "to_text",
    ),
    "planc.ir.blocks": (
        "Attribute", "Compile", "CompileBlock", "FsdpBlock", "Loss", "ParamLayout", "Part", "Port", "Recompute",
        "RecomputeBlock", "Rule", "Setting", "TensorBlock", "Unit",
    ),
    "planc.ir.plan": ("Accept", "Axis", "LayoutLet", "Mesh", "Option", "PatternLet", "Plan", "Require"),
    "planc.ir.pattern": ("Pattern",),
    # Also installs how both are parsed.
    "planc.syntax.parse_scalar": ("Expr", "Layout"),
    "planc.ir.graph": ("ModelGraph",),
    "planc.ir.diagnostic": ("ModelFault",),
    "planc.ir.errors": ("CallError", "WeightsError"),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _EXPORTS_BY_MODULE.items() for name in names}

__all__ = [
    "Accept", "Attribute", "Axis", "CallError", "Compile", "CompileBlock", "Expr", "FsdpBlock", "Layout", "LayoutLet",
    "Loss", "Mesh", "ModelFault", "ModelGraph", "Option", "ParamLayout", "Part", "Pattern", "PatternLet", "Plan", "PlanError",
    "Port", "Recompute", "RecomputeBlock", "Require", "Rule", "Setting", "TensorBlock", "Unit", "WeightsError",
    "capture", "check", "from_data", "full", "load", "load_weights", "materialize", "parallelize", "parse", "to_data", "to_text",
]  # fmt: skip


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    if name[0] != "_":
        # Records of kinds of block that were added: the Python form of a plan imports them from here.
        from planc.ir.block_kinds import BLOCK_KINDS

        for record in (each for row in BLOCK_KINDS.values() for each in (row.record, row.entry)):
            if record.__name__ == name:
                return record
    raise AttributeError(f"module 'planc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
