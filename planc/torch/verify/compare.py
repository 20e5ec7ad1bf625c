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
from planc.ir.verify_result import TensorComparison
from planc.torch.apply.apply_lowered import apply_lowered
from planc.torch.apply.vocab_parallel import VocabParallelLogits
from planc.torch.verify.error_scale import scaled_error
from planc.torch.verify.local_view import LocalView, batch_size, gather_full
from planc.torch.verify.model_under_test import ModelUnderTest, build_model_under_test
from planc.torch.verify.no_dropout import NoDropout
from planc.torch.verify.random_loss import named_outputs
from planc.torch.verify.reference_run import ReferenceRun, backward_terms, cast_floats, make_optimizer
from planc.torch.verify.scenarios import Scenario, make_scenarios

MAX_CACHED = 8
"""Unsplit models that a rank keeps with their numbers: questions come in many about one."""


class VerifyTask(Record):
    """What a group of ranks is asked."""

    reference: str
    lowered: Lowered
    sizes: tuple[tuple[str, int], ...]
    """The axes of the mesh, outermost first."""
    sharded_outputs: tuple[str, ...]
    """Results that the plan lets leave the model split, by name or position."""
    scenarios: tuple[str, ...]
    steps: int
    seed: int


_model_cache: dict[tuple[str, int], ModelUnderTest] = {}
_reference_cache: dict[Any, ReferenceRun] = {}
_mesh_cache: dict[Any, DeviceMesh] = {}


def compare_on_rank(task: VerifyTask) -> list[TensorComparison]:
    """What was found on this rank, a row for each tensor."""
    torch.use_deterministic_algorithms(mode=False)
    if task.sizes not in _mesh_cache:
        names, counts = zip(*task.sizes, strict=True)
        _mesh_cache[task.sizes] = init_device_mesh("cpu", counts, mesh_dim_names=names)
    mesh = _mesh_cache[task.sizes]
    subject = _cached(
        _model_cache, (task.reference, task.seed), lambda: build_model_under_test(task.reference, task.seed)
    )
    place = LocalView(task.lowered, mesh)
    rows: list[TensorComparison] = []
    every = task_scenarios(subject, task)
    for name in task.scenarios:
        run = next(run for run in every if run.name == name)
        rows += ShardedComparison(subject, run, task, mesh, place).rows()
    return rows


def task_scenarios(subject: ModelUnderTest, task: VerifyTask) -> list[Scenario]:
    """The runs of a task, by its mesh."""
    sizes = dict(task.sizes)
    ranks = math.prod(sizes[axis.axis] for axis in task.lowered.tensor)
    fsdp = task.lowered.fsdp
    names = {fsdp.axis, fsdp.replicate} - {None} if fsdp else set()
    parts = math.prod(size for name, size in task.sizes if name in names)
    found: list[Scenario] = make_scenarios(
        subject.model,
        subject.arguments,
        subject.keywords,
        subject.config,
        tensor_ranks=ranks,
        data_ranks=parts,
        seed=task.seed,
    )
    return found


class ShardedComparison:
    """The split model on one run."""

    def __init__(
        self, subject: ModelUnderTest, run: Scenario, task: VerifyTask, mesh: DeviceMesh, place: LocalView
    ) -> None:
        self.scenario, self.task, self.local = run, task, place
        losses = [axis for axis in task.lowered.tensor if axis.loss == "vocab_parallel"]
        logits = ".".join(map(str, losses[0].logits_path)) if losses else None
        key = (
            task.reference,
            task.seed,
            run.name,
            logits,
            task.steps,
            place.data_ranks,
            tuple(ranks for _, ranks in place.tensor_coordinates),
        )
        self.reference = _cached(
            _reference_cache, key, lambda: ReferenceRun(subject.model, run, logits, self._steps(), task.seed)
        )
        self.model = copy.deepcopy(subject.model).to(self.reference.dtype)
        given = (run.arguments, dict(run.keywords))
        self.inputs = cast_floats(place.local_batch(given, batch_size(given)), self.reference.dtype)
        apply_lowered(self.model, task.lowered, mesh)

    def _steps(self) -> int:
        """Steps are taken on the first run alone."""
        return self.task.steps if self.scenario.name == self.task.scenarios[0] else 0

    def rows(self) -> Iterator[TensorComparison]:
        """Everything that can be compared."""
        exact, units = self.reference.exact, self.reference.output_scales
        with NoDropout():
            results = self._forward()
            for name, needed in exact.results.items():
                piece, _ = self.local_piece(name, needed, results)
                yield self._row("output", name, results.get(name), piece, units.get(name, 1.0))
            terms = self.loss_terms(results)
            yield from self._losses(results, terms)
            backward_terms(terms)
            yield from self._gradients(exact.gradients)
            yield from self._weights_after_steps()

    def _forward(self) -> dict[str, Tensor]:
        arguments, keywords = self.inputs
        torch.manual_seed(self.task.seed)
        return dict(named_outputs(self.model(*arguments, **keywords)))

    def local_piece(self, name: str, whole: Tensor, results: dict[str, Tensor]) -> tuple[Tensor, bool]:
        got = results.get(name)
        return (
            (whole, False)
            if got is None
            else self.local.local_result(whole, got.shape, may_be_sharded=self._may_be_sharded(name))
        )

    def _may_be_sharded(self, name: str) -> bool:
        place = str(list(self.reference.exact.results).index(name))
        return bool({name, name.partition(".")[0], place} & set(self.task.sharded_outputs))

    def loss_terms(self, results: dict[str, Tensor]) -> dict[str, Tensor]:
        """This rank's loss, by result."""
        weighing = self.reference.loss
        assert weighing is not None
        parts = {
            name: self.local.batch_shards(whole, results[name].shape)
            for name, whole in weighing.coefficients.items()
            if name in results
        }
        found: dict[str, Tensor] = weighing.terms(results, self.local_coefficients(results), parts)
        return found

    def local_coefficients(self, results: dict[str, Tensor]) -> dict[str, Tensor]:
        """The factors of what leaves the model in the right shape."""
        assert self.reference.loss is not None
        found = {}
        for name, factor in self.reference.loss.coefficients.items():
            got = results.get(name)
            if got is None:
                continue
            shape = got.shape[: factor.ndim] if name == self.reference.loss.logits else got.shape
            own, _ = self.local.local_result(factor, shape, may_be_sharded=self._may_be_sharded(name))
            if own.shape == shape:
                found[name] = own
        return found

    def _losses(self, results: dict[str, Tensor], terms: dict[str, Tensor]) -> Iterator[TensorComparison]:
        """The loss: a mean over ranks, or a sum over those that hold slices of what it is computed from."""
        for name, needed in self.reference.exact.terms.items():
            term = terms.get(name)
            if term is None:
                yield self._row("loss", name, None, torch.tensor(needed), 1.0)
                continue
            _, is_split = self.local_piece(name, self.reference.exact.results[name], results)
            own = term.detach().clone().double()
            ranks = dist.get_world_size()
            dist.all_reduce(own)
            own = own / (ranks // self.local.tensor_coordinates[0][1] if is_split else ranks)
            wanted = torch.tensor(needed, dtype=torch.float64)
            yield self._row("loss", name, own, wanted, self.reference.term_scales[name])

    def _gradients(self, exact: Any) -> Iterator[TensorComparison]:
        parameters = dict(self.model.named_parameters(remove_duplicate=False))
        for name, needed in exact.items():
            found = parameters.get(name)
            grad = None if found is None else found.grad
            if needed is None and grad is None:
                continue
            if needed is None:
                assert grad is not None
                # A gradient of zeros is none: a module that a rank gives no work may have either.
                whole = gather_full(grad)
                yield self._row("gradient", name, whole, torch.zeros_like(whole), 1e-30)
                continue
            size = self.reference.gradient_scales[name]
            got = None if grad is None else gather_full(grad)
            if got is None and not bool(needed.any()):
                continue
            yield self._row("gradient", name, got, self.local.in_shard_order(needed, name), size)

    def _weights_after_steps(self) -> Iterator[TensorComparison]:
        """The weights after some steps on the same batch."""
        steps = self._steps()
        if not steps:
            return
        optimizer = make_optimizer(self.model)
        weighing = self.reference.loss
        assert weighing is not None
        for step in range(steps):
            if step:
                optimizer.zero_grad()
                results = self._forward()
                backward_terms(self.loss_terms(results))
            optimizer.step()
        parameters = dict(self.model.named_parameters(remove_duplicate=False))
        for name, needed in self.reference.exact.weights.items():
            got = gather_full(parameters[name].detach()) if name in parameters else None
            yield self._row(
                "weight",
                name,
                got,
                self.local.in_shard_order(needed, name),
                self.reference.weight_scales[name],
            )

    def _row(self, kind: Any, name: str, got: Tensor | None, needed: Tensor, size: float) -> TensorComparison:
        if isinstance(got, VocabParallelLogits):
            got = got.gathered()
        off, note = (math.inf, "is missing") if got is None else scaled_error(got, needed, size)
        return TensorComparison(kind, name, self.scenario.name, off, note)


def _cached(known: dict[Any, Any], key: Any, make: Any) -> Any:
    if key not in known:
        while len(known) >= MAX_CACHED:
            known.pop(next(iter(known)))
        known[key] = make()
    return known[key]
