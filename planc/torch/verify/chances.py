"""A model that drops numbers by chance. Ranks drop other numbers of what they split than the unsplit model does,
so means of many draws are compared, in units of their standard error; where ranks hold the same, they have to
agree to the last bit."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

from planc.ir.document import Document
from planc.ir.graph import ModelGraph
from planc.ir.settled import Settings
from planc.ir.verified import Kind, Row, Verified
from planc.torch.apply.logits import SplitLogits
from planc.torch.verify.applied import told
from planc.torch.verify.losses import leaves
from planc.torch.verify.ranks import Ranks
from planc.torch.verify.runs import Run
from planc.torch.verify.shares import Place, full
from planc.torch.verify.subject import Subject, build
from planc.torch.verify.units import EPSILON
from planc.torch.verify.unsplit import backward, cast
from planc.torch.verify.verify import TIMEOUT, Found, Progress
from planc.torch.verify.work import Judged, Task, runs_of

DRAWS = 32
LIMIT = 6.0
"""Standard errors that means may be apart: among a million numbers hardly one is, by chance."""
RUN, PLAIN = "dropout", "plain"
"""The name of the run, and of the inputs that it takes."""

Named = dict[tuple[Kind, str], Tensor]


def verify_chances(
    document: Document, reference: str, graph: ModelGraph, settings: Settings, *,
    seed: int = 0, timeout: float = TIMEOUT, progress: Progress | None = None,
) -> Verified:  # fmt: skip
    """The same as `verify`, with dropout on: one run, of many draws."""
    said = told(document, settings, graph)
    sizes = tuple((axis.name, axis.size or 1) for axis in said.result.settled.axes)
    found = Found(document, reference, dict(sizes), seed, said)
    if said.lowered is None:
        return found.done("wrong" if said.result.is_refuted else "unjudged", reasons=said.reasons)
    task = Task(reference, said.lowered, sizes, said.split, (PLAIN,), 0, seed)
    if progress is not None:
        progress(0, 1, f"{DRAWS} draws")
    ranks = Ranks(work)
    try:
        found.add(RUN, False, ranks.ask(math.prod(dict(sizes).values()), task, timeout))
    finally:
        ranks.close()
    return found.done()


def work(task: Task) -> list[Row]:
    """What one rank finds."""
    names, counts = zip(*task.sizes, strict=True)
    mesh = init_device_mesh("cpu", counts, mesh_dim_names=names)
    subject = build(task.reference, task.seed, dropout=True)
    place = Place(task.lowered, mesh)
    run = next(run for run in runs_of(subject, task) if run.name == task.runs[0])
    return list(_Drawn(subject, run, task, mesh, place).rows())


class _Drawn(Judged):
    """Draws of the split model and of the unsplit one."""

    def __init__(self, subject: Subject, run: Run, task: Task, mesh: DeviceMesh, place: Place) -> None:
        super().__init__(subject, run, task, mesh, place)
        self._unsplit = copy.deepcopy(subject.model).to(self.whole.dtype)
        self._groups = [mesh[axis.axis].get_group() for axis in task.lowered.tensor]
        self._shown: dict[str, Tensor] = {}
        """Results of the split model, for their shapes."""
        self._apart: set[tuple[Kind, str]] = set()

    def rows(self) -> Iterator[Row]:
        """A row for each result and each gradient."""
        arguments, keywords = self.inputs
        self._shown = _called(self.model, arguments, keywords, 0)
        # The mean of other draws is a direction to look along: it sums what each number shows a little of.
        ahead = _moments(self._drawn_unsplit(draw) for draw in range(DRAWS))
        unsplit = _Means(ahead)
        for draw in range(DRAWS, 2 * DRAWS):
            unsplit.add(self._drawn_unsplit(draw))
        split = _Means(ahead)
        for draw in range(2 * DRAWS, 3 * DRAWS):
            split.add(self._drawn_split(draw))
        for key in ahead:
            kind, name = key
            if key in self._apart:
                yield Row(kind, name, RUN, math.inf, "differs between ranks of a tensor group", None, LIMIT)
            elif key not in split.count:
                yield Row(kind, name, RUN, math.inf, "is missing", None, LIMIT)
            else:
                yield Row(kind, name, RUN, split.apart(unsplit, key), "", None, LIMIT)

    def _drawn_unsplit(self, draw: int) -> Named:
        weighing = self.whole.weighing
        assert weighing is not None
        arguments, keywords = cast((self.run.arguments, dict(self.run.keywords)), self.whole.dtype)
        results = _called(self._unsplit, arguments, keywords, self._seed(draw, 0))
        backward(weighing.terms(results, weighing.factors))
        whole = {name: self.piece(name, item, self._shown)[0] for name, item in results.items()}
        return {
            **_outputs(whole),
            **_gradients(self._unsplit, self.place.in_order),
        }

    def _drawn_split(self, draw: int) -> Named:
        weighing = self.whole.weighing
        assert weighing is not None
        arguments, keywords = self.inputs
        results = _called(self.model, arguments, keywords, self._seed(draw, self.place.part))
        backward(self.terms(results))
        for name, item in results.items():
            if (
                not isinstance(item, SplitLogits)
                and not self.piece(name, self.whole.exact.results[name], results)[1]
            ):
                self._agree(("output", name), item)
        for name, parameter in self.model.named_parameters(remove_duplicate=False):
            if parameter.grad is not None and not self._is_shared_out(parameter.grad):
                self._agree(("gradient", name), parameter.grad)
        gathered = {
            name: item.gathered() if isinstance(item, SplitLogits) else item for name, item in results.items()
        }
        return {**_outputs(gathered), **_gradients(self.model, lambda grad, _: full(grad))}

    def _seed(self, draw: int, part: int) -> int:
        """Ranks of a tensor group draw alike; each data rank draws its own."""
        return self.task.seed + 1_000 * (1 + draw) + part

    def _is_shared_out(self, grad: Tensor) -> bool:
        """Whether a tensor axis splits it."""
        if not isinstance(grad, DTensor):
            return False
        placed = dict(zip(grad.device_mesh.mesh_dim_names or (), grad.placements, strict=True))
        axes = [axis.axis for axis in self.task.lowered.tensor]
        return any(axis in placed and not placed[axis].is_replicate() for axis in axes)

    def _agree(self, key: tuple[Kind, str], item: Tensor) -> None:
        """Note whether the ranks of each tensor group hold the same bits."""
        own = (item.to_local() if isinstance(item, DTensor) else item).detach()
        for group in self._groups:
            most, least = own.clone(), own.clone()
            dist.all_reduce(most, dist.ReduceOp.MAX, group)
            dist.all_reduce(least, dist.ReduceOp.MIN, group)
            if not torch.equal(most, least):
                self._apart.add(key)


class _Means:
    """Means and spreads of draws: of each number, and of their sum along a direction."""

    def __init__(self, directions: Named) -> None:
        self._directions = directions
        self.count: dict[tuple[Kind, str], int] = {}
        self._sums: Named = {}
        self._squares: Named = {}

    def add(self, drawn: Mapping[tuple[Kind, str], Tensor]) -> None:
        for key, item in drawn.items():
            along = self._directions.get(key)
            if along is None or along.shape != item.shape:
                continue
            numbers = torch.cat([item.double().flatten(), (item.double() * along).sum().reshape(1)])
            self.count[key] = self.count.get(key, 0) + 1
            self._sums[key] = self._sums.get(key, 0) + numbers
            self._squares[key] = self._squares.get(key, 0) + numbers**2

    def moments(self, key: tuple[Kind, str]) -> tuple[Tensor, Tensor]:
        """The means, and the squares of their standard errors."""
        count = self.count[key]
        mean = self._sums[key] / count
        spread = (self._squares[key] / count - mean**2).clamp(min=0) * count / (count - 1)
        return mean, spread / count

    def apart(self, other: _Means, key: tuple[Kind, str]) -> float:
        """How far the means are apart at most, in standard errors; or in units of rounding, where nothing hangs
        on chance."""
        mean, square = self.moments(key)
        needed, spread = other.moments(key)
        largest = torch.full_like(mean, float(needed[:-1].abs().max()) if len(needed) > 1 else 0.0)
        largest[-1] = float((self._directions[key].abs() * largest[0]).sum())
        error = torch.maximum((square + spread).sqrt(), EPSILON * largest + torch.finfo(torch.float64).tiny)
        worst = ((mean - needed).abs() / error).max()
        return float(worst) if bool(torch.isfinite(worst)) else math.inf


def _moments(drawn: Iterator[Named]) -> Named:
    """The mean of each tensor."""
    sums: Named = {}
    for one in drawn:
        for key, item in one.items():
            sums[key] = sums.get(key, 0) + item.double() / DRAWS
    return sums


def _called(model: nn.Module, arguments: Any, keywords: Any, seed: int) -> dict[str, Tensor]:
    model.zero_grad()
    torch.manual_seed(seed)
    return dict(leaves(model(*arguments, **keywords)))


def _outputs(results: Mapping[str, Tensor]) -> Named:
    return {("output", name): item.detach() for name, item in results.items() if item.is_floating_point()}


def _gradients(model: nn.Module, whole: Callable[[Tensor, str], Tensor]) -> Named:
    named = model.named_parameters(remove_duplicate=False)
    return {("gradient", name): whole(p.grad, name).clone() for name, p in named if p.grad is not None}
