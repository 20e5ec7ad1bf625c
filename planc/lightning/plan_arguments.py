"""What the user asks of a strategy, and the plan that all ranks take from it."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch.distributed as dist
from torch import Tensor, nn

from planc.api import PlanLike, to_document
from planc.ir.document import Document
from planc.ir.expr import ExprValue
from planc.ir.graph import ModelGraph
from planc.ir.record import Record
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.lightning.all_ranks import run_on_all_ranks
from planc.prepare_plan import NotApplicable
from planc.resolve import resolve
from planc.resolve.diagnostic_sink import DiagnosticSink
from planc.resolve.extends import extends_chain
from planc.resolve.options import option_error
from planc.syntax.read_file import read_source

if TYPE_CHECKING:
    PlanArgument = PlanLike
else:
    # LightningCLI looks at this. With a class in the union it would read the file that a path
    # names; with os.PathLike before Mapping it would take data for a path.
    PlanArgument = str | Mapping[str, Any] | os.PathLike[str]
"""What a strategy takes for a plan."""
PlanInputs = Sequence[str] | Sequence[Tensor] | Mapping[str, Tensor]


class PlanArguments(Record):
    """The arguments of a strategy that speak of its plan."""

    plan: PlanLike
    target: str | None
    """The submodule whose names the plan uses; None: the module itself."""
    options: Mapping[str, ExprValue]
    graph: ModelGraph | str | os.PathLike[str] | None
    inputs: PlanInputs | None


def read_plan_on_all_ranks(arguments: PlanArguments, module: nn.Module | None) -> Document:
    """The plan, as rank 0 reads it. Every rank calls this.

    Raises:
        PlanStop: there is none, an option is not the plan's, or ranks read different base plans.
    """
    first = not dist.is_initialized() or dist.get_rank() == 0
    source = run_on_all_ranks(
        lambda: to_document(_find_plan(arguments.plan, module)).source if first else None
    )
    sent: list[Any] = [(source.name, source.text, source.format, source.folder) if source else None]
    if dist.is_initialized():
        dist.broadcast_object_list(sent, 0)
    document = read_source(Source(*sent[0]))
    own = plan_digest(document)
    sums: list[Any] = [own] * (dist.get_world_size() if dist.is_initialized() else 1)
    if dist.is_initialized():
        dist.all_gather_object(sums, own)
    run_on_all_ranks(lambda: _check_consistent(document, arguments, sums))
    return document


def _check_consistent(document: Document, arguments: PlanArguments, sums: list[str]) -> None:
    """Refuse options that are not the plan's, and plans that differ between ranks."""
    options = dict(arguments.options)
    others = [rank for rank, found in enumerate(sums) if found != sums[0]]
    if others:
        raise NotApplicable((), (f"ranks {others} read other base plans than rank 0",))
    if fault := option_error([resolve(document, Settings(options=options)).documents], options):
        raise NotApplicable((), (fault,))


def plan_digest(document: Document) -> str:
    """SHA-256 of a plan's text and of the plans that it extends, as hexadecimal digits."""
    whole = hashlib.sha256()
    for one in extends_chain(document, DiagnosticSink()):
        whole.update(one.source.text.encode())
        whole.update(b"\0")
    return whole.hexdigest()


def _find_plan(plan: PlanLike, module: nn.Module | None) -> PlanLike:
    """The plan, or with `auto` the module's own: its attribute `plan`, or the file beside its class."""
    if plan != "auto" or module is None:
        return plan
    own = getattr(module, "plan", None)
    if own is not None:
        return (
            own if isinstance(own, Mapping) or not isinstance(own, str) else _relative_to_class(own, module)
        )
    stem = os.path.splitext(_source_file(module))[0]
    if os.path.exists(f"{stem}.plan"):
        return f"{stem}.plan"
    name = type(module).__name__
    raise NotApplicable(
        (), (f"{name} has no attribute 'plan', and there is no {os.path.basename(stem)}.plan beside it",)
    )


def _relative_to_class(path: str, module: nn.Module) -> str:
    """A path, as seen from the file of the module's class where there is such a file."""
    near = os.path.join(os.path.dirname(_source_file(module)), path)
    return near if os.path.exists(near) else path


def _source_file(module: nn.Module) -> str:
    try:
        return os.path.abspath(inspect.getfile(type(module)))
    except (OSError, TypeError):  # a class that was typed in
        return os.path.join(os.getcwd(), "model")
