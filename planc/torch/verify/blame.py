"""Which rule of a plan governs what a row is about."""

from __future__ import annotations

from planc.bind.binding import Binding
from planc.ir.resolved import Located
from planc.ir.verify_result import TensorComparison


class RuleIndex:
    """The rules of a bound plan on its tensor axes."""

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        self._blocks = [number for number, _ in binding.resolved.tensor_blocks()]
        self._bound = dict(binding.root.named_modules())

    def rule_for(self, row: TensorComparison) -> Located | None:
        """Of a parameter the rule of its module, or of the nearest one around it that has one; of what leaves
        the model its own rule, of a loss the line that says how it is computed."""
        if row.kind in ("gradient", "weight"):
            return self._nearest_rule(row.name.rpartition(".")[0])
        if row.kind == "loss":
            lines = [self._binding.resolved.blocks[number].loss for number in self._blocks]
            said = next((line for line in lines if line is not None), None)
            if said is not None:
                return said
        return self._nearest_rule("")

    def _nearest_rule(self, module: str) -> Located | None:
        parts = module.split(".") if module else []
        for count in range(len(parts), -1, -1):
            bound = self._bound.get(".".join(parts[:count]))
            for number in self._blocks if bound is not None else ():
                assert bound is not None
                entry = self._binding.entry_for(bound, number)
                if entry is not None:
                    return entry
        return None
