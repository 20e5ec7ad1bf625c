"""What stays the same while the interpreter follows a model on one axis."""

from __future__ import annotations

from collections.abc import Mapping

from planc.bind.binding import Binding, BoundModule
from planc.ir.graph import Call, Function
from planc.proof.interpreter.mutated_inputs import MutatedInputs
from planc.proof.memory_effects import MemoryEffectsOf, writes_anywhere
from planc.proof.param_types import ParamTypes
from planc.proof.regions.accesses import writes_memory
from planc.proof.size_views import SizeViews
from planc.proof.unproved import SIDE_EFFECTS


class AxisContext:
    """A bound plan, the axis, and the rules of operations.

    Args:
        binding: the plan and the model.
        block: the number of the block whose rules shard parameters on this axis; None: no block does.
        ranks: the size of the axis.
        local_entries: the entries of the block of whose parameters all modules find the rank's sizes.
    """

    def __init__(
        self,
        binding: Binding,
        block: int | None,
        ranks: int,
        local_entries: frozenset[int] = frozenset(),
    ) -> None:
        self.size_views = SizeViews(binding, block, local_entries)
        self.binding, self.graph, self.ranks = binding, binding.graph, ranks
        self.splits_batch = block is None
        self.may_sum_output_gradients = False
        """Whether «replicate -> replicate» at an output could have meant that the gradient is summed there."""
        self.sums_output_gradients = False
        """Whether it means that."""
        self.param_types = ParamTypes(binding, block, ranks)
        self.mutated_inputs = MutatedInputs(binding.graph)
        self.tracks_aliasing = writes_anywhere(binding.graph)
        """Whether it matters which values share memory."""
        self.memory_effects = MemoryEffectsOf(binding.graph)
        lines = binding.graph.source_lines
        self._source_lines = {id(binding.graph.functions[number]): lines[number] for number in lines}
        self._writes: dict[int, bool] = {}

    def source_lines(self, function: Function) -> Mapping[int, str]:
        """Where the model's code calls the steps of a function, as far as the graph says."""
        return self._source_lines.get(id(function), {})

    def writes_memory(self, function: Function) -> bool:
        """Whether the code of a module writes to a tensor, or lets a module that it calls write to one."""
        if id(function) not in self._writes:
            self._writes[id(function)] = any(
                bool(self.memory_effects(step.function).written)
                if isinstance(step, Call)
                else writes_memory(step) or step.name in SIDE_EFFECTS
                for step in function.steps
            )
        return self._writes[id(function)]

    def find_module(self, name: str, caller: BoundModule) -> BoundModule | None:
        """The module of a name below its caller; a name that begins with `/` counts from the root."""
        start = self.binding.root if name.startswith("/") else caller
        return start.find_submodule(name.removeprefix("/"))
