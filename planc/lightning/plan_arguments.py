"""The arguments of a strategy that concern its plan, and the plan that all ranks read by them."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import torch.distributed as dist
from torch import Tensor, nn

from planc.api import PlanLike, to_document
from planc.ir.document import Document
from planc.ir.expr import ExprValue
from planc.ir.graph import ModelGraph
from planc.ir.record import Record
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.ir.sync import Sync
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
    # LightningCLI reads this annotation. With a class in the union it would read the file that a path
    # names; with os.PathLike before Mapping it would take data for a path.
    PlanArgument = str | Mapping[str, Any] | os.PathLike[str]
"""What a strategy takes for a plan."""
PlanInputs = Sequence[str] | Sequence[Tensor] | Mapping[str, Tensor]
"""What a strategy takes for example inputs: `name=dtype[sizes]`, or tensors by position or by name."""


class PlanArguments(Record):
    """The arguments of a strategy that concern its plan."""

    plan: PlanLike
    target: str | None
    """The submodule that the plan's names are relative to; None: the module itself."""
    options: Mapping[str, ExprValue]
    graph: ModelGraph | str | os.PathLike[str] | None
    inputs: PlanInputs | None
    sync: Sync | None
    """What happens where ranks begin with other weights; None: they are not compared."""

    @classmethod
    def of(
        cls,
        plan: PlanLike | None,
        target: str | None,
        options: Mapping[str, ExprValue] | None,
        graph: str | os.PathLike[str] | None,
        inputs: PlanInputs | None,
        sync: Sync | None,
    ) -> PlanArguments | None:
        """The arguments as a strategy gets them; None: without a plan.

        Raises:
            ValueError: `sync` is no such word.
        """
        if sync not in (*get_args(Sync), None):
            raise ValueError(f"sync={sync!r}: needed: {', '.join(map(repr, get_args(Sync)))} or None")
        return None if plan is None else cls(plan, target, dict(options or {}), graph, inputs, sync)


def read_plan_on_all_ranks(arguments: PlanArguments, module: nn.Module | None) -> Document:
    """The plan, which rank 0 reads and sends to the others. Every rank calls this.

    Args:
        module: with `plan="auto"`, the module whose plan it is.

    Raises:
        PlanAbort: there is no plan, the plan does not have one of the options, or ranks read different base
            plans.
    """
    is_rank_zero = not dist.is_initialized() or dist.get_rank() == 0
    source = run_on_all_ranks(
        lambda: to_document(_find_plan(arguments.plan, module)).source if is_rank_zero else None
    )
    sent: list[Any] = [(source.name, source.text, source.format, source.folder) if source else None]
    if dist.is_initialized():
        dist.broadcast_object_list(sent, 0)
    document = read_source(Source(*sent[0]))
    digest = plan_digest(document)
    digests: list[Any] = [digest] * (dist.get_world_size() if dist.is_initialized() else 1)
    if dist.is_initialized():
        dist.all_gather_object(digests, digest)
    run_on_all_ranks(lambda: _check_consistent(document, arguments, digests))
    return document


def _check_consistent(document: Document, arguments: PlanArguments, digests: list[str]) -> None:
    """Reject options that the plan does not have, and plans that differ between ranks."""
    options = dict(arguments.options)
    others = [rank for rank, digest in enumerate(digests) if digest != digests[0]]
    if others:
        raise NotApplicable((), (f"ranks {others} read other base plans than rank 0",))
    if error := option_error([resolve(document, Settings(options=options)).documents], options):
        raise NotApplicable((), (error,))


def plan_digest(document: Document) -> str:
    """SHA-256 of the texts of a plan and of the plans that it extends, as hexadecimal digits."""
    digest = hashlib.sha256()
    for each in extends_chain(document, DiagnosticSink()):
        digest.update(each.source.text.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def _find_plan(plan: PlanLike, module: nn.Module | None) -> PlanLike:
    """The plan. For `auto` the module's own: its attribute `plan`, or the file next to its class."""
    if plan != "auto" or module is None:
        return plan
    attribute = getattr(module, "plan", None)
    if isinstance(attribute, str):
        return _relative_to_class(attribute, module)
    if attribute is not None:
        named: PlanLike = attribute
        return named
    stem = os.path.splitext(_source_file(module))[0]
    if os.path.exists(f"{stem}.plan"):
        return f"{stem}.plan"
    name = type(module).__name__
    raise NotApplicable(
        (), (f"{name} has no attribute 'plan', and there is no {os.path.basename(stem)}.plan next to it",)
    )


def _relative_to_class(path: str, module: nn.Module) -> str:
    """A path relative to the file of the module's class, where that file exists."""
    relative = os.path.join(os.path.dirname(_source_file(module)), path)
    return relative if os.path.exists(relative) else path


def _source_file(module: nn.Module) -> str:
    try:
        return os.path.abspath(inspect.getfile(type(module)))
    except (OSError, TypeError):  # a class that was defined in an interactive session
        return os.path.join(os.getcwd(), "model")
