"""Which rule of a plan governs a tensor."""

from __future__ import annotations

from planc.bind.binding import Binding
from planc.ir.resolved import Located
from planc.ir.verify_result import TensorComparison


class RuleIndex:
    """The rules of a bound plan on its tensor axes."""

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        self._blocks = [number for number, _ in binding.resolved.tensor_blocks()]
        self._modules = dict(binding.root.named_modules())

    def rule_for(self, comparison: TensorComparison) -> Located | None:
        """The rule of a parameter's module, or of the nearest module around it that has one; of an output the rule
        of the model itself; of a loss the line that declares it. None: there is no such rule."""
        if comparison.kind in ("gradient", "weight"):
            return self._nearest_rule(comparison.name.rpartition(".")[0])
        if comparison.kind == "loss":
            losses = (self._binding.resolved.blocks[number].loss for number in self._blocks)
            declared = next((loss for loss in losses if loss is not None), None)
            if declared is not None:
                return declared
        return self._nearest_rule("")

    def _nearest_rule(self, name: str) -> Located | None:
        parts = name.split(".") if name else []
        for length in range(len(parts), -1, -1):
            module = self._modules.get(".".join(parts[:length]))
            for number in self._blocks if module is not None else ():
                assert module is not None
                entry = self._binding.entry_for(module, number)
                if entry is not None:
                    return entry
        return None
