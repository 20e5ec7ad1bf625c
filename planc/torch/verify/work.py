"""What one rank does: the split model, and the unsplit one beside it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from planc.ir.lowered import Lowered
from planc.ir.record import Record
from planc.ir.verified import Row
from planc.torch.apply.logits import SplitLogits
from planc.torch.apply.parallelize import apply
from planc.torch.verify.calm import Calm
from planc.torch.verify.losses import leaves
from planc.torch.verify.runs import Run, runs_for
from planc.torch.verify.shares import Place, batch_of, full
from planc.torch.verify.subject import Subject, build
from planc.torch.verify.units import error
from planc.torch.verify.unsplit import Unsplit, backward, cast, optimizer_of

KEPT = 8
"""Unsplit models that a rank keeps with their numbers: questions come in many about one."""


class Task(Record):
    """What a group of ranks is asked."""

    reference: str
    lowered: Lowered
    sizes: tuple[tuple[str, int], ...]
    """The axes of the mesh, outermost first."""
    split: tuple[str, ...]
    """Results that the plan lets leave the model split, by name or position."""
    runs: tuple[str, ...]
    steps: int
    seed: int


_subjects: dict[tuple[str, int], Subject] = {}
_unsplit: dict[Any, Unsplit] = {}
_meshes: dict[Any, DeviceMesh] = {}


def work(task: Task) -> list[Row]:
    """What was found on this rank, a row for each tensor."""
    torch.use_deterministic_algorithms(mode=False)
    if task.sizes not in _meshes:
        names, counts = zip(*task.sizes, strict=True)
        _meshes[task.sizes] = init_device_mesh("cpu", counts, mesh_dim_names=names)
    mesh = _meshes[task.sizes]
    subject = _kept(_subjects, (task.reference, task.seed), lambda: build(task.reference, task.seed))
    place = Place(task.lowered, mesh)
    rows: list[Row] = []
    every = runs_of(subject, task)
    for name in task.runs:
        run = next(run for run in every if run.name == name)
        rows += Judged(subject, run, task, mesh, place).rows()
    return rows


def runs_of(subject: Subject, task: Task) -> list[Run]:
    """The runs of a task, by its mesh."""
    sizes = dict(task.sizes)
    ranks = math.prod(sizes[axis.axis] for axis in task.lowered.tensor)
    fsdp = task.lowered.fsdp
    names = {fsdp.axis, fsdp.replicate} - {None} if fsdp else set()
    parts = math.prod(size for name, size in task.sizes if name in names)
    found: list[Run] = runs_for(
        subject.model,
        subject.arguments,
        subject.keywords,
        subject.config,
        ranks=ranks,
        parts=parts,
        seed=task.seed,
    )
    return found


class Judged:
    """The split model on one run."""

    def __init__(self, subject: Subject, run: Run, task: Task, mesh: DeviceMesh, place: Place) -> None:
        self.run, self.task, self.place = run, task, place
        losses = [axis for axis in task.lowered.tensor if axis.loss == "vocab_parallel"]
        logits = ".".join(map(str, losses[0].logits)) if losses else None
        key = (
            task.reference,
            task.seed,
            run.name,
            logits,
            task.steps,
            place.parts,
            tuple(ranks for _, ranks in place.tensor),
        )
        self.whole = _kept(
            _unsplit, key, lambda: Unsplit(subject.model, run, logits, self._steps(), task.seed)
        )
        self.model = copy.deepcopy(subject.model).to(self.whole.dtype)
        given = (run.arguments, dict(run.keywords))
        self.inputs = cast(place.of_batch(given, batch_of(given)), self.whole.dtype)
        apply(self.model, task.lowered, mesh)

    def _steps(self) -> int:
        """Steps are taken on the first run alone."""
        return self.task.steps if self.run.name == self.task.runs[0] else 0

    def rows(self) -> Iterator[Row]:
        """Everything that can be compared."""
        exact, units = self.whole.exact, self.whole.units
        with Calm():
            results = self._forward()
            for name, needed in exact.results.items():
                piece, _ = self.piece(name, needed, results)
                yield self._row("output", name, results.get(name), piece, units.get(name, 1.0))
            terms = self.terms(results)
            yield from self._losses(results, terms)
            backward(terms)
            yield from self._gradients(exact.gradients)
            yield from self._stepped()

    def _forward(self) -> dict[str, Tensor]:
        arguments, keywords = self.inputs
        torch.manual_seed(self.task.seed)
        return dict(leaves(self.model(*arguments, **keywords)))

    def piece(self, name: str, whole: Tensor, results: dict[str, Tensor]) -> tuple[Tensor, bool]:
        got = results.get(name)
        return (
            (whole, False)
            if got is None
            else self.place.of_result(whole, got.shape, may_split=self._may_split(name))
        )

    def _may_split(self, name: str) -> bool:
        place = str(list(self.whole.exact.results).index(name))
        return bool({name, name.partition(".")[0], place} & set(self.task.split))

    def terms(self, results: dict[str, Tensor]) -> dict[str, Tensor]:
        """This rank's loss, by result."""
        weighing = self.whole.weighing
        assert weighing is not None
        parts = {
            name: self.place.parts_of(whole, results[name].shape)
            for name, whole in weighing.factors.items()
            if name in results
        }
        found: dict[str, Tensor] = weighing.terms(results, self.factors(results), parts)
        return found

    def factors(self, results: dict[str, Tensor]) -> dict[str, Tensor]:
        """The factors of what leaves the model in the right shape."""
        assert self.whole.weighing is not None
        found = {}
        for name, factor in self.whole.weighing.factors.items():
            got = results.get(name)
            if got is None:
                continue
            shape = got.shape[: factor.ndim] if name == self.whole.weighing.logits else got.shape
            own, _ = self.place.of_result(factor, shape, may_split=self._may_split(name))
            if own.shape == shape:
                found[name] = own
        return found

    def _losses(self, results: dict[str, Tensor], terms: dict[str, Tensor]) -> Iterator[Row]:
        """The loss: a mean over ranks, or a sum over those that hold slices of what it is computed from."""
        for name, needed in self.whole.exact.terms.items():
            term = terms.get(name)
            if term is None:
                yield self._row("loss", name, None, torch.tensor(needed), 1.0)
                continue
            _, is_split = self.piece(name, self.whole.exact.results[name], results)
            own = term.detach().clone().double()
            ranks = dist.get_world_size()
            dist.all_reduce(own)
            own = own / (ranks // self.place.tensor[0][1] if is_split else ranks)
            wanted = torch.tensor(needed, dtype=torch.float64)
            yield self._row("loss", name, own, wanted, self.whole.term_units[name])

    def _gradients(self, exact: Any) -> Iterator[Row]:
        parameters = dict(self.model.named_parameters(remove_duplicate=False))
        for name, needed in exact.items():
            found = parameters.get(name)
            grad = None if found is None else found.grad
            if needed is None and grad is None:
                continue
            if needed is None:
                assert grad is not None
                # A gradient of zeros is none: a module that a rank gives no work may have either.
                whole = full(grad)
                yield self._row("gradient", name, whole, torch.zeros_like(whole), 1e-30)
                continue
            size = self.whole.gradient_units[name]
            got = None if grad is None else full(grad)
            if got is None and not bool(needed.any()):
                continue
            yield self._row("gradient", name, got, self.place.in_order(needed, name), size)

    def _stepped(self) -> Iterator[Row]:
        """The weights after some steps on the same batch."""
        steps = self._steps()
        if not steps:
            return
        optimizer = optimizer_of(self.model)
        weighing = self.whole.weighing
        assert weighing is not None
        for step in range(steps):
            if step:
                optimizer.zero_grad()
                results = self._forward()
                backward(self.terms(results))
            optimizer.step()
        parameters = dict(self.model.named_parameters(remove_duplicate=False))
        for name, needed in self.whole.exact.weights.items():
            got = full(parameters[name].detach()) if name in parameters else None
            yield self._row(
                "weight", name, got, self.place.in_order(needed, name), self.whole.weight_units[name]
            )

    def _row(self, kind: Any, name: str, got: Tensor | None, needed: Tensor, size: float) -> Row:
        if isinstance(got, SplitLogits):
            got = got.gathered()
        off, note = (math.inf, "is missing") if got is None else error(got, needed, size)
        return Row(kind, name, self.run.name, off, note)


def _kept(known: dict[Any, Any], key: Any, make: Any) -> Any:
    if key not in known:
        while len(known) >= KEPT:
            known.pop(next(iter(known)))
        known[key] = make()
    return known[key]
