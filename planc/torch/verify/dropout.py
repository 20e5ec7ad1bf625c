"""Verification with dropout on.

The ranks drop other entries of what they split than the unsplit model does, so the means of many samples are compared,
in units of their standard error. Values that ranks replicate must be equal to the last bit.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from planc.ir.verify_result import TensorComparison, VerifyResult
from planc.torch.apply.full_tensor import full_tensor
from planc.torch.apply.vocab_parallel import VocabParallelLogits
from planc.torch.verify.compare import ShardedComparison, VerifyTask, task_mesh, task_scenarios
from planc.torch.verify.local_view import LocalView
from planc.torch.verify.lowering import VerifyPlan
from planc.torch.verify.model_under_test import ModelUnderTest, build_model_under_test
from planc.torch.verify.random_loss import named_outputs
from planc.torch.verify.rank_pool import RankPool
from planc.torch.verify.reference_run import backward_terms, cast_floats
from planc.torch.verify.result_builder import VerifyResultBuilder
from planc.torch.verify.running_moments import RunningMoments, Sample, TensorKey, mean_of_samples
from planc.torch.verify.scenarios import Scenario
from planc.torch.verify.verify_plan import DEFAULT_TIMEOUT, ProgressCallback, plan_axis_sizes

SAMPLES = 32
"""How many samples of each model are compared."""
MAX_STANDARD_ERRORS = 6.0
"""How far means may differ, in standard errors: by chance, fewer than one entry in a million does."""
DROPOUT_SCENARIO, PLAIN_SCENARIO = "dropout", "plain"
"""The name of the only scenario, and of the scenario whose inputs it takes."""


def verify_dropout(
    plan: VerifyPlan,
    reference: str,
    *,
    seed: int = 0,
    inputs: Sequence[str] = (),
    timeout: float = DEFAULT_TIMEOUT,
    progress: ProgressCallback | None = None,
) -> VerifyResult:
    """Run a model split and unsplit with dropout on, and compare means of outputs and gradients.

    Args:
        plan: the plan, lowered on the graph of this very model.
        reference: the model, as `planc capture` takes it; every rank builds it.
        seed: of weights, data and samples.
        inputs: inputs that the user has set, as `--input` takes them.
        timeout: seconds that all samples together may take.
        progress: called before the samples.
    """
    sizes = plan_axis_sizes(plan)
    builder = VerifyResultBuilder(plan, reference, dict(sizes), seed)
    if plan.lowered is None:
        return builder.build_unapplied()
    task = VerifyTask(
        reference, plan.lowered, sizes, plan.sharded_outputs, (PLAIN_SCENARIO,), 0, seed, tuple(inputs)
    )
    if progress is not None:
        progress(0, 1, f"{SAMPLES} samples")
    pool = RankPool(compare_dropout_on_rank)
    try:
        results = pool.run(math.prod(dict(sizes).values()), task, timeout)
        builder.add_scenario(DROPOUT_SCENARIO, results, may_raise=False)
    finally:
        pool.close()
    return builder.build()


def compare_dropout_on_rank(task: VerifyTask) -> list[TensorComparison]:
    """Run a task on this rank, in a process group of all ranks. Returns a comparison for each output and gradient."""
    mesh = task_mesh(task)
    subject = build_model_under_test(task.reference, task.seed, inputs=task.inputs, dropout=True)
    scenarios = {scenario.name: scenario for scenario in task_scenarios(subject, task)}
    local = LocalView(task.lowered, mesh)
    return list(_DropoutComparison(subject, scenarios[task.scenarios[0]], task, mesh, local).comparisons())


class _DropoutComparison(ShardedComparison):
    """Samples of the split model and of the unsplit one."""

    def __init__(
        self,
        subject: ModelUnderTest,
        scenario: Scenario,
        task: VerifyTask,
        mesh: DeviceMesh,
        local: LocalView,
    ) -> None:
        super().__init__(subject, scenario, task, mesh, local)
        self._reference_model = copy.deepcopy(subject.model).to(self.reference.dtype)
        self._tensor_groups = [mesh[axis.axis].get_group() for axis in task.lowered.tensor]
        self._sharded_outputs: dict[str, Tensor] = {}
        """Outputs of the split model, for their shapes."""
        self._diverged: set[TensorKey] = set()
        """Tensors that the ranks of a tensor group should replicate, and do not."""

    def comparisons(self) -> Iterator[TensorComparison]:
        args, kwargs = self.inputs
        self._sharded_outputs = _forward(self.model, args, kwargs, 0)
        # Independent samples give the directions of the projections.
        directions = mean_of_samples(map(self._sample_reference, range(SAMPLES)), SAMPLES)
        expected = RunningMoments(directions)
        for number in range(SAMPLES, 2 * SAMPLES):
            expected.add(self._sample_reference(number))
        actual = RunningMoments(directions)
        for number in range(2 * SAMPLES, 3 * SAMPLES):
            actual.add(self._sample_sharded(number))
        for key in directions:
            error, note = math.inf, ""
            if key in self._diverged:
                note = "differs between ranks of a tensor group"
            elif key not in actual.count:
                note = "is missing"
            else:
                error = actual.max_deviation(expected, key)
            yield TensorComparison(*key, DROPOUT_SCENARIO, error, note, limit=MAX_STANDARD_ERRORS)

    def _sample_reference(self, number: int) -> Sample:
        args, kwargs = cast_floats((self.scenario.args, dict(self.scenario.kwargs)), self.reference.dtype)
        outputs = _forward(self._reference_model, args, kwargs, self._sample_seed(number, 0))
        backward_terms(self.loss.terms(outputs, self.loss.coefficients))
        pieces = {
            name: self.local_piece(name, output, self._sharded_outputs)[0] for name, output in outputs.items()
        }
        return {
            **_output_sample(pieces),
            **_gradient_sample(self._reference_model, self.local.in_shard_order),
        }

    def _sample_sharded(self, number: int) -> Sample:
        args, kwargs = self.inputs
        outputs = _forward(self.model, args, kwargs, self._sample_seed(number, self.local.data_rank))
        backward_terms(self.loss_terms(outputs))
        self._check_replicas(outputs)
        gathered = {
            name: output.full_tensor()
            if isinstance(output, VocabParallelLogits)
            else self.local.mean_over_batch(self.reference.exact.outputs[name], output)
            for name, output in outputs.items()
        }
        return {**_output_sample(gathered), **_gradient_sample(self.model, lambda grad, _: full_tensor(grad))}

    def _sample_seed(self, number: int, data_rank: int) -> int:
        """The ranks of a tensor group use the same seed; each data rank has its own."""
        return self.task.seed + 1_000 * (1 + number) + data_rank

    def _check_replicas(self, outputs: Mapping[str, Tensor]) -> None:
        """Check everything that the ranks of a tensor group should replicate."""
        for name, output in outputs.items():
            full = self.reference.exact.outputs[name]
            is_sharded = isinstance(output, VocabParallelLogits) or self.local_piece(name, full, outputs)[1]
            if not is_sharded:
                self._check_equal(("output", name), output)
        for name, param in self.model.named_parameters(remove_duplicate=False):
            if param.grad is not None and not self._is_tensor_sharded(param.grad):
                self._check_equal(("gradient", name), param.grad)

    def _is_tensor_sharded(self, grad: Tensor) -> bool:
        """Whether a tensor axis shards a gradient."""
        if not isinstance(grad, DTensor):
            return False
        placements = dict(zip(grad.device_mesh.mesh_dim_names or (), grad.placements, strict=True))
        axes = [axis.axis for axis in self.task.lowered.tensor]
        return any(axis in placements and not placements[axis].is_replicate() for axis in axes)

    def _check_equal(self, key: TensorKey, tensor: Tensor) -> None:
        """Note a tensor whose bits differ between the ranks of a tensor group."""
        own = (tensor.to_local() if isinstance(tensor, DTensor) else tensor).detach()
        for group in self._tensor_groups:
            largest, smallest = own.clone(), own.clone()
            dist.all_reduce(largest, dist.ReduceOp.MAX, group)
            dist.all_reduce(smallest, dist.ReduceOp.MIN, group)
            if not torch.equal(largest, smallest):
                self._diverged.add(key)


def _forward(model: nn.Module, args: Any, kwargs: Any, seed: int) -> dict[str, Tensor]:
    model.zero_grad()
    torch.manual_seed(seed)
    return named_outputs(model(*args, **kwargs))


def _output_sample(outputs: Mapping[str, Tensor]) -> dict[TensorKey, Tensor]:
    return {
        ("output", name): output.detach() for name, output in outputs.items() if output.is_floating_point()
    }


def _gradient_sample(model: nn.Module, to_full: Callable[[Tensor, str], Tensor]) -> dict[TensorKey, Tensor]:
    params = model.named_parameters(remove_duplicate=False)
    return {
        ("gradient", name): to_full(param.grad, name).clone()
        for name, param in params
        if param.grad is not None
    }
