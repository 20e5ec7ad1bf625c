"""planc: a compiler for parallelism plans of PyTorch models.

    import planc

    plan = planc.load("llama.plan")
    result = planc.check("llama.plan", tp=8, model="llama-3-8b")

What is imported here is loaded on first use: `import planc` costs next to nothing.
"""

from __future__ import annotations

__version__ = "0.1.0"

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
    from planc.blocks.compile import Compile, CompileBlock
    from planc.blocks.fsdp import FsdpBlock, Unit
    from planc.blocks.recompute import Recompute, RecomputeBlock
    from planc.blocks.settings import Setting
    from planc.blocks.tensor import Attribute, Loss, ParamLayout, Part, Port, Rule, TensorBlock
    from planc.ir.diagnostic import ModelFault
    from planc.ir.expr import Expr
    from planc.ir.graph import ModelGraph
    from planc.ir.layout import Layout
    from planc.ir.pattern import Pattern
    from planc.ir.plan import Axis, LayoutLet, Mesh, Option, PatternLet, Plan, Require
    from planc.ir.weights import WeightsError

_HOMES = {
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
    "planc.blocks.settings": ("Setting",),
    "planc.blocks.tensor": ("Attribute", "Loss", "ParamLayout", "Part", "Port", "Rule", "TensorBlock"),
    "planc.blocks.fsdp": ("FsdpBlock", "Unit"),
    "planc.blocks.recompute": ("Recompute", "RecomputeBlock"),
    "planc.blocks.compile": ("Compile", "CompileBlock"),
    "planc.ir.pattern": ("Pattern",),
    "planc.ir.expr": ("Expr",),
    "planc.ir.layout": ("Layout",),
    "planc.ir.graph": ("ModelGraph",),
    "planc.ir.diagnostic": ("ModelFault",),
    "planc.ir.weights": ("WeightsError",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Attribute", "Axis", "Compile", "CompileBlock", "Expr", "FsdpBlock", "Layout", "LayoutLet",
    "Loss", "Mesh", "ModelFault", "ModelGraph", "Option", "ParamLayout", "Part", "Pattern", "PatternLet", "Plan", "PlanError",
    "Port", "Recompute", "RecomputeBlock", "Require", "Rule", "Setting", "TensorBlock", "Unit", "WeightsError",
    "capture", "check", "from_data", "load", "load_weights", "materialize", "parallelize", "parse", "to_data", "to_text",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'planc' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
