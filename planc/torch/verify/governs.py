"""Which rule of a plan governs what a row is about."""

from __future__ import annotations

from planc.ir.settled import Placed
from planc.ir.verified import Row
from planc.resolve.bind import Binding


class Rules:
    """The rules of a bound plan on its tensor axes."""

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        self._blocks = [n for n, block in enumerate(binding.settled.blocks) if block.kind == "tensor"]
        self._bound = dict(binding.root.walk())

    def of(self, row: Row) -> Placed | None:
        """Of a parameter the rule of its module, or of the nearest one around it that has one; of what leaves
        the model its own rule, of a loss the line that says how it is computed."""
        if row.kind in ("gradient", "weight"):
            return self._around(row.name.rpartition(".")[0])
        if row.kind == "loss":
            lines = [self._binding.settled.blocks[number].loss for number in self._blocks]
            said = next((line for line in lines if line is not None), None)
            if said is not None:
                return said
        return self._around("")

    def _around(self, module: str) -> Placed | None:
        parts = module.split(".") if module else []
        for count in range(len(parts), -1, -1):
            bound = self._bound.get(".".join(parts[:count]))
            for number in self._blocks if bound is not None else ():
                assert bound is not None
                entry = self._binding.entry(bound, number)
                if entry is not None:
                    return entry
        return None
