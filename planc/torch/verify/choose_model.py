"""The model that is run in place of the full one: the smallest of which a plan says the same.

A plan that names a size, as `attributes(num_heads: 8 // tp)`, is another plan for a model with other sizes: what is right
for the full model may be wrong for the small one, or the other way round. So the proof must judge both alike.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod

from planc.check_result import Result
from planc.compile import check_document, diagnose
from planc.ir.diagnostic import ModelFault
from planc.ir.document import Document
from planc.ir.expr import Binary, Const, Expr, Unary
from planc.ir.graph import ModelGraph
from planc.ir.record import Record
from planc.ir.resolved import Resolved, Settings
from planc.resolve import resolve
from planc.torch.capture.from_reference import capture_reference
from planc.torch.verify.shrink_model import ShrunkModel, shrink_model

MAX_PARAMETERS = 100_000_000
"""Parameters of a model that is run without `--full`, where a smaller one would not be judged alike."""
_KEPT_GROUPS: tuple[tuple[str, ...], ...] = (
    (), ("widths",), ("widths", "experts", "vocabulary", "positions"),
)  # fmt: skip
"""Groups of sizes that are kept, fewest first."""


class ChosenModel(Record):
    """A model to run."""

    reference: str
    graph: ModelGraph
    inputs: tuple[str, ...] = ()
    """Inputs that the user has set, as `--input` takes them."""
    notes: tuple[str, ...] = ()
    """How it differs from the full one."""
    unlike: Result | None = None
    """What the proof says of the full model, where no small model is judged like it: none is to be run."""


def choose_model(
    document: Document,
    given: Settings,
    reference: str,
    full_graph: Callable[[], ModelGraph | None],
    inputs: Sequence[str] = (),
) -> ChosenModel:
    """The smallest model that the proof judges like the full one.

    Args:
        given: a size for each axis.
        reference: what the full model is built from.
        full_graph: its graph; asked for only where the small model may be judged otherwise.
        inputs: inputs that the user has set, as `--input` takes them.

    Raises:
        ModelFault: planc cannot build a model.
    """
    resolved = resolve(document, given)
    sizes = _tensor_axis_sizes(resolved, given)
    named = _named_sizes(resolved, given)
    first = _smallest(document, given, reference, sizes, inputs)
    if first.reference == reference:
        return first
    judged = _judgement(document, given, first.graph)
    if judged[0] == "proved" and not named:
        return first
    try:
        full = full_graph()
    except ModelFault:
        full = None
    if full is None:
        return first
    needed = _judgement(document, given, full)
    if judged == needed:
        return first
    for chosen in _larger(document, given, reference, full, sizes, named, inputs):
        if _parameter_count(chosen.graph) <= MAX_PARAMETERS and needed == _judgement(
            document, given, chosen.graph
        ):
            return chosen
    return first.with_(unlike=check_document(document, given, full))


def _smallest(
    document: Document, given: Settings, reference: str, sizes: Mapping[str, int], inputs: Sequence[str]
) -> ChosenModel:
    """The smallest model that takes the inputs that the user has set."""
    for groups in _KEPT_GROUPS if inputs else ():
        with contextlib.suppress(ModelFault):
            return _shrunk(document, given, reference, sizes, frozenset(), groups, inputs)
    return _shrunk(document, given, reference, sizes, frozenset(), (), inputs)


def _larger(
    document: Document,
    given: Settings,
    reference: str,
    full: ModelGraph,
    sizes: Mapping[str, int],
    named: frozenset[int],
    inputs: Sequence[str],
) -> Iterator[ChosenModel]:
    """Larger and larger models, which keep the sizes that the plan names; the full one at last."""
    for groups in _KEPT_GROUPS:
        yield _shrunk(document, given, reference, sizes, named, groups, inputs)
    yield ChosenModel(reference, full, tuple(inputs), ("the model is run in its full size",))


def _shrunk(
    document: Document,
    given: Settings,
    reference: str,
    sizes: Mapping[str, int],
    kept: frozenset[int],
    kept_groups: tuple[str, ...],
    inputs: Sequence[str],
) -> ChosenModel:
    """A smaller model. If the plan names layers that it lacks, it keeps all layers."""
    for keep_depth in (False, True):
        small = shrink_model(reference, sizes, keep_depth=keep_depth, kept=kept, kept_groups=kept_groups)
        graph = capture_reference(small.reference, inputs)
        if not any(found.law.name == "no-match" for found in diagnose(document, given, graph).diagnostics):
            break
    return ChosenModel(small.reference, graph, tuple(inputs), tuple(_notes(small, kept)))


def _notes(small: ShrunkModel, kept: frozenset[int]) -> Iterator[str]:
    if small.changes:
        why = ", keeping sizes that the plan names" if kept else ""
        yield f"made smaller{why}: {', '.join(small.changes)}"
    yield from small.notes


def _judgement(document: Document, given: Settings, graph: ModelGraph) -> tuple[str, object]:
    """The verdict on a plan, and what its conditions select."""
    result = check_document(document, given, graph)
    selected = [
        (block.kind, [entry.location.path for entry in block.entries]) for block in result.resolved.blocks
    ]
    return result.verdict, selected


def _named_sizes(resolved: Resolved, given: Settings) -> frozenset[int]:
    """The sizes that expressions of a plan name, and those of which they name a rank's share."""
    numbers = {number for expr, _, _ in resolved.records_by_type.get(Expr, ()) for number in _constants(expr)}
    ranks = {1, *given.axis_sizes.values(), prod(given.axis_sizes.values())}
    return frozenset(number * count for number in numbers if number > 1 for count in ranks)


def _constants(expr: Expr) -> Iterator[int]:
    if isinstance(expr, Const) and type(expr.value) is int:
        yield expr.value
    elif isinstance(expr, Unary):
        yield from _constants(expr.operand)
    elif isinstance(expr, Binary):
        yield from _constants(expr.left)
        yield from _constants(expr.right)


def _tensor_axis_sizes(resolved: Resolved, given: Settings) -> dict[str, int]:
    """The sizes of the axes whose ranks share dims of the model."""
    names = {axis.value for block in resolved.blocks if block.splits_tensors for axis in block.axes}
    return {name: size for name, size in given.axis_sizes.items() if name in names}


def _parameter_count(graph: ModelGraph) -> int:
    shapes = {
        f"{name}.{own}": info.shape
        for name, module in graph.modules_by_name.items()
        for own, info in module.parameters.items()
    }
    tied = {name for tie in graph.ties for name in tie[1:]}
    return sum(prod(shape) for name, shape in shapes.items() if name not in tied)
