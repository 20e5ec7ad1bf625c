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
from planc.ir.resolved import Settings
from planc.ir.verify_result import ComparedKind, TensorComparison, VerifyResult
from planc.torch.apply.vocab_parallel import VocabParallelLogits
from planc.torch.verify.compare import ShardedComparison, VerifyTask, task_scenarios
from planc.torch.verify.error_scale import FLOAT32_EPS
from planc.torch.verify.local_view import LocalView, gather_full
from planc.torch.verify.lowering import lower_for_verify
from planc.torch.verify.model_under_test import ModelUnderTest, build_model_under_test
from planc.torch.verify.random_loss import named_outputs
from planc.torch.verify.rank_pool import RankPool
from planc.torch.verify.reference_run import backward_terms, cast_floats
from planc.torch.verify.scenarios import Scenario
from planc.torch.verify.verify_plan import DEFAULT_TIMEOUT, ProgressCallback, VerifyResultBuilder

SAMPLES = 32
MAX_STANDARD_ERRORS = 6.0
"""Standard errors that means may be apart: among a million numbers hardly one is, by chance."""
DROPOUT_SCENARIO, PLAIN_SCENARIO = "dropout", "plain"
"""The name of the run, and of the inputs that it takes."""

TensorsByRow = dict[tuple[ComparedKind, str], Tensor]


def verify_dropout(
    document: Document, reference: str, graph: ModelGraph, settings: Settings, *,
    seed: int = 0, timeout: float = DEFAULT_TIMEOUT, progress: ProgressCallback | None = None,
) -> VerifyResult:  # fmt: skip
    """The same as `verify`, with dropout on: one run, of many draws."""
    said = lower_for_verify(document, settings, graph)
    sizes = tuple((axis.name, axis.size or 1) for axis in said.result.resolved.axes)
    found = VerifyResultBuilder(document, reference, dict(sizes), seed, said)
    if said.lowered is None:
        return found.build("wrong" if said.result.is_refuted else "unjudged", reasons=said.reasons)
    task = VerifyTask(reference, said.lowered, sizes, said.sharded_outputs, (PLAIN_SCENARIO,), 0, seed)
    if progress is not None:
        progress(0, 1, f"{SAMPLES} draws")
    ranks = RankPool(compare_dropout_on_rank)
    try:
        found.add_scenario(DROPOUT_SCENARIO, False, ranks.run(math.prod(dict(sizes).values()), task, timeout))
    finally:
        ranks.close()
    return found.build()


def compare_dropout_on_rank(task: VerifyTask) -> list[TensorComparison]:
    """What one rank finds."""
    names, counts = zip(*task.sizes, strict=True)
    mesh = init_device_mesh("cpu", counts, mesh_dim_names=names)
    subject = build_model_under_test(task.reference, task.seed, dropout=True)
    place = LocalView(task.lowered, mesh)
    run = next(run for run in task_scenarios(subject, task) if run.name == task.scenarios[0])
    return list(_DropoutComparison(subject, run, task, mesh, place).rows())


class _DropoutComparison(ShardedComparison):
    """Draws of the split model and of the unsplit one."""

    def __init__(
        self, subject: ModelUnderTest, run: Scenario, task: VerifyTask, mesh: DeviceMesh, place: LocalView
    ) -> None:
        super().__init__(subject, run, task, mesh, place)
        self._reference_model = copy.deepcopy(subject.model).to(self.reference.dtype)
        self._tensor_groups = [mesh[axis.axis].get_group() for axis in task.lowered.tensor]
        self._sharded_results: dict[str, Tensor] = {}
        """Results of the split model, for their shapes."""
        self._diverged: set[tuple[ComparedKind, str]] = set()

    def rows(self) -> Iterator[TensorComparison]:
        """A row for each result and each gradient."""
        arguments, keywords = self.inputs
        self._sharded_results = _forward(self.model, arguments, keywords, 0)
        # The mean of other draws is a direction to look along: it sums what each number shows a little of.
        ahead = _mean_of(self._sample_reference(draw) for draw in range(SAMPLES))
        unsplit = _RunningMoments(ahead)
        for draw in range(SAMPLES, 2 * SAMPLES):
            unsplit.add(self._sample_reference(draw))
        split = _RunningMoments(ahead)
        for draw in range(2 * SAMPLES, 3 * SAMPLES):
            split.add(self._sample_sharded(draw))
        for key in ahead:
            kind, name = key
            if key in self._diverged:
                yield TensorComparison(
                    kind,
                    name,
                    DROPOUT_SCENARIO,
                    math.inf,
                    "differs between ranks of a tensor group",
                    None,
                    MAX_STANDARD_ERRORS,
                )
            elif key not in split.count:
                yield TensorComparison(
                    kind, name, DROPOUT_SCENARIO, math.inf, "is missing", None, MAX_STANDARD_ERRORS
                )
            else:
                yield TensorComparison(
                    kind,
                    name,
                    DROPOUT_SCENARIO,
                    split.max_deviation(unsplit, key),
                    "",
                    None,
                    MAX_STANDARD_ERRORS,
                )

    def _sample_reference(self, sample: int) -> TensorsByRow:
        weighing = self.reference.loss
        assert weighing is not None
        arguments, keywords = cast_floats(
            (self.scenario.arguments, dict(self.scenario.keywords)), self.reference.dtype
        )
        results = _forward(self._reference_model, arguments, keywords, self._sample_seed(sample, 0))
        backward_terms(weighing.terms(results, weighing.coefficients))
        whole = {
            name: self.local_piece(name, item, self._sharded_results)[0] for name, item in results.items()
        }
        return {
            **_outputs(whole),
            **_gradients(self._reference_model, self.local.in_shard_order),
        }

    def _sample_sharded(self, sample: int) -> TensorsByRow:
        weighing = self.reference.loss
        assert weighing is not None
        arguments, keywords = self.inputs
        results = _forward(self.model, arguments, keywords, self._sample_seed(sample, self.local.data_rank))
        backward_terms(self.loss_terms(results))
        for name, item in results.items():
            if (
                not isinstance(item, VocabParallelLogits)
                and not self.local_piece(name, self.reference.exact.results[name], results)[1]
            ):
                self._check_replicas_equal(("output", name), item)
        for name, parameter in self.model.named_parameters(remove_duplicate=False):
            if parameter.grad is not None and not self._is_tensor_sharded(parameter.grad):
                self._check_replicas_equal(("gradient", name), parameter.grad)
        gathered = {
            name: item.gathered() if isinstance(item, VocabParallelLogits) else item
            for name, item in results.items()
        }
        return {**_outputs(gathered), **_gradients(self.model, lambda grad, _: gather_full(grad))}

    def _sample_seed(self, sample: int, data_rank: int) -> int:
        """Ranks of a tensor group draw alike; each data rank draws its own."""
        return self.task.seed + 1_000 * (1 + sample) + data_rank

    def _is_tensor_sharded(self, grad: Tensor) -> bool:
        """Whether a tensor axis splits it."""
        if not isinstance(grad, DTensor):
            return False
        placed = dict(zip(grad.device_mesh.mesh_dim_names or (), grad.placements, strict=True))
        axes = [axis.axis for axis in self.task.lowered.tensor]
        return any(axis in placed and not placed[axis].is_replicate() for axis in axes)

    def _check_replicas_equal(self, key: tuple[ComparedKind, str], item: Tensor) -> None:
        """Note whether the ranks of each tensor group hold the same bits."""
        own = (item.to_local() if isinstance(item, DTensor) else item).detach()
        for group in self._tensor_groups:
            most, least = own.clone(), own.clone()
            dist.all_reduce(most, dist.ReduceOp.MAX, group)
            dist.all_reduce(least, dist.ReduceOp.MIN, group)
            if not torch.equal(most, least):
                self._diverged.add(key)


class _RunningMoments:
    """Means and spreads of draws: of each number, and of their sum along a direction."""

    def __init__(self, directions: TensorsByRow) -> None:
        self._directions = directions
        self.count: dict[tuple[ComparedKind, str], int] = {}
        self._sums: TensorsByRow = {}
        self._squares: TensorsByRow = {}

    def add(self, sample: Mapping[tuple[ComparedKind, str], Tensor]) -> None:
        for key, item in sample.items():
            along = self._directions.get(key)
            if along is None or along.shape != item.shape:
                continue
            numbers = torch.cat([item.double().flatten(), (item.double() * along).sum().reshape(1)])
            self.count[key] = self.count.get(key, 0) + 1
            self._sums[key] = self._sums.get(key, 0) + numbers
            self._squares[key] = self._squares.get(key, 0) + numbers**2

    def mean_and_squared_error(self, key: tuple[ComparedKind, str]) -> tuple[Tensor, Tensor]:
        """The means, and the squares of their standard errors."""
        count = self.count[key]
        mean = self._sums[key] / count
        spread = (self._squares[key] / count - mean**2).clamp(min=0) * count / (count - 1)
        return mean, spread / count

    def max_deviation(self, other: _RunningMoments, key: tuple[ComparedKind, str]) -> float:
        """How far the means are apart at most, in standard errors; or in units of rounding, where nothing hangs
        on chance."""
        mean, square = self.mean_and_squared_error(key)
        needed, spread = other.mean_and_squared_error(key)
        largest = torch.full_like(mean, float(needed[:-1].abs().max()) if len(needed) > 1 else 0.0)
        largest[-1] = float((self._directions[key].abs() * largest[0]).sum())
        error = torch.maximum(
            (square + spread).sqrt(), FLOAT32_EPS * largest + torch.finfo(torch.float64).tiny
        )
        worst = ((mean - needed).abs() / error).max()
        return float(worst) if bool(torch.isfinite(worst)) else math.inf


def _mean_of(samples: Iterator[TensorsByRow]) -> TensorsByRow:
    """The mean of each tensor."""
    sums: TensorsByRow = {}
    for one in samples:
        for key, item in one.items():
            sums[key] = sums.get(key, 0) + item.double() / SAMPLES
    return sums


def _forward(model: nn.Module, arguments: Any, keywords: Any, seed: int) -> dict[str, Tensor]:
    model.zero_grad()
    torch.manual_seed(seed)
    return dict(named_outputs(model(*arguments, **keywords)))


def _outputs(results: Mapping[str, Tensor]) -> TensorsByRow:
    return {("output", name): item.detach() for name, item in results.items() if item.is_floating_point()}


def _gradients(model: nn.Module, whole: Callable[[Tensor, str], Tensor]) -> TensorsByRow:
    named = model.named_parameters(remove_duplicate=False)
    return {("gradient", name): whole(p.grad, name).clone() for name, p in named if p.grad is not None}
