"""Which unit of FSDP holds the parameters of a module, and what it does after its forward pass."""

from __future__ import annotations

from planc.bind.binding import Binding, BoundModule
from planc.ir.resolved import Located


class FsdpUnit:
    """Modules that FSDP gathers together; compared by identity."""

    __slots__ = ("entry", "keeps", "modules", "name")

    def __init__(self, name: str, entry: Located, modules: tuple[str, ...], *, keeps: bool) -> None:
        self.name = name
        """The module, or the patterns of a unit of several modules."""
        self.entry = entry
        """Its line in the plan."""
        self.modules = modules
        """The dotted names of its modules."""
        self.keeps = keeps
        """Whether its parameters stay gathered after the forward pass, until the end of its backward pass."""


class UnitMap:
    """The units of one `fsdp` block, by the dotted names of modules.

    Args:
        binding: the plan and the model.
        block: the number of the block.
        kept: a line whose units count as kept.
    """

    def __init__(self, binding: Binding, block: int, kept: Located | None = None) -> None:
        self.binding, self.block, self.kept = binding, block, kept
        self._around: dict[str, FsdpUnit | None] = {}
        self._groups: dict[int, FsdpUnit] = {}

    def is_unit(self, bound: BoundModule) -> bool:
        """Whether a module is a unit, or one of the modules of a unit."""
        return self.block in bound.entries

    def is_plain_unit(self, bound: BoundModule) -> bool:
        """Whether a module is a unit by itself that FSDP reshards after its forward pass, if it lies in another one."""
        entry = self.binding.entry_for(bound, self.block)
        return (
            entry is not None
            and len(entry.value.patterns) == 1
            and not self._keeps(entry, is_outermost=False)
        )

    def unit_of(self, module: str) -> FsdpUnit | None:
        """The unit that a module is, alone or with others."""
        bound = self.binding.root.find_submodule(module)
        return self.unit_around(module) if bound is not None and self.is_unit(bound) else None

    def unit_around(self, module: str) -> FsdpUnit | None:
        """The innermost unit that holds the parameters of a module."""
        if module not in self._around:
            self._around[module] = self._find(module)
        return self._around[module]

    def _find(self, module: str) -> FsdpUnit | None:
        outer = self.unit_around(module.rpartition(".")[0]) if module else None
        bound = self.binding.root.find_submodule(module)
        entry = None if bound is None else self.binding.entry_for(bound, self.block)
        if entry is None or bound is None:
            return outer
        if len(entry.value.patterns) > 1:
            return self._group(bound.entries[self.block], entry)
        return FsdpUnit(
            module or "root", entry, (module,), keeps=self._keeps(entry, is_outermost=outer is None)
        )

    def _group(self, number: int, entry: Located) -> FsdpUnit:
        """The unit of several modules that a line makes."""
        if number not in self._groups:
            modules = tuple(self.binding.module_names(self.block, number))
            name = " + ".join(map(str, entry.value.patterns))
            self._groups[number] = FsdpUnit(
                name, entry, modules, keeps=self._keeps(entry, is_outermost=False)
            )
        return self._groups[number]

    def _keeps(self, entry: Located, *, is_outermost: bool) -> bool:
        """FSDP2 keeps the outermost unit gathered, unless the plan says otherwise."""
        reshard = entry.value.reshard
        return entry is self.kept or (is_outermost if reshard is None else reshard in (False, 1))
