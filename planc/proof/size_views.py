"""Which size of a parameter the code of a module finds: the global one, or that of the rank's shard.

While a module's forward runs, the rank's local tensors stand in the place of its own parameters, and of those of other
modules with whose entries its code computes. Of any other parameter the code reads a size alone, and finds a DTensor, which
has the global size. There planc may choose: it lowers the parameter as one that the code computes with where the plan is right
with the rank's size, and wrong with the global one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from planc.bind.binding import Binding, BoundModule
from planc.ir.graph import ARGUMENT_NODES, Call, Function, Op, SymNumber, WeightRef
from planc.ir.tree import leaves, nodes
from planc.proof.result import AxisProof, join_module_path
from planc.proof.units.unit_map import UnitMap


class SizeViews:
    """What each module finds of the parameters of other modules.

    Args:
        binding: the plan and the model.
        block: the number of the block whose rules shard parameters on the axis; None: no block does.
        local_entries: the entries of that block of whose parameters other modules find the rank's size.
    """

    def __init__(
        self, binding: Binding, block: int | None, local_entries: frozenset[int] = frozenset()
    ) -> None:
        self.binding, self.block, self.local_entries = binding, block, local_entries
        self._uses: _Uses | None = None
        self._ties = {name: tie for tie in binding.graph.ties for name in tie}
        self._units = [
            UnitMap(binding, number)
            for number, each in enumerate(binding.resolved.blocks)
            if each.splits_batch
        ]

    def is_local(self, reader: str, parameter: str) -> bool:
        """Whether the code of a module finds the rank's size of a parameter. Both by their full names."""
        name = self.name_below(parameter, reader)
        bound = self.binding.root.find_submodule(reader)
        if bound is None or not _is_of_other_module(name):
            return True
        if self._uses is None:
            self._uses = _params_used(self.binding)
        used, handed_on, called = self._uses
        if name in used.get(id(bound), ()) or _identity(self.binding, parameter) in handed_on:
            return True
        # Where code calls `child.forward`, a graph has the child's code as that of its caller.
        is_chosen = self._entry(parameter) in self.local_entries
        is_called = _identity(self.binding, parameter)[0] in called
        return (is_chosen or not is_called) and self._can_install(reader, parameter)

    def name_below(self, parameter: str, module: str) -> str:
        """The name of a parameter as a graph has it in the code of a module."""
        names = self._ties.get(parameter, (parameter,))
        prefix = f"{module}." if module else ""
        inside = next((name for name in names if name.startswith(prefix)), None)
        return f"/{names[0]}" if inside is None else inside.removeprefix(prefix)

    def params_of_descendants(self) -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, tuple[str, ...]]]:
        """The parameters of other modules of which each module's code finds local tensors, and those of which it reads
        the global size: by the module's name, relative to it."""
        names: dict[str, dict[str, bool]] = {}
        used, *_ = self._uses = self._uses or _params_used(self.binding)
        for module, bound in self.binding.root.named_modules():
            for name in used.get(id(bound), ()):
                names.setdefault(module, {})[name] = True
        for reader, parameter in _sizes_read(self.binding):
            name = self.name_below(parameter, reader)
            if _is_of_other_module(name):
                names.setdefault(reader, {})[name] = self.is_local(reader, parameter)
        return (
            {module: tuple(n for n, local in own.items() if local) for module, own in names.items()},
            {module: tuple(n for n, local in own.items() if not local) for module, own in names.items()},
        )

    def entries_read(self) -> list[int]:
        """The entries of the block of whose parameters other modules read only sizes: there planc may choose."""
        found: dict[int, None] = {}
        for reader, parameter in _sizes_read(self.binding):
            entry = self._entry(parameter)
            if entry is not None and not self.is_local(reader, parameter):
                found[entry] = None
        return list(found)

    def _entry(self, parameter: str) -> int | None:
        owner = self.binding.root.find_submodule(parameter.rpartition(".")[0])
        return None if owner is None or self.block is None else owner.entries.get(self.block)

    def _can_install(self, reader: str, parameter: str) -> bool:
        """Whether FSDP has gathered a parameter whenever a module runs: it is in the module's unit, or in one around it."""
        for units in self._units:
            unit = units.unit_around(parameter.rpartition(".")[0])
            if unit is None or unit is units.unit_around(reader):
                continue
            if not any(not outer or f"{reader}.".startswith(f"{outer}.") for outer in unit.modules):
                return False
        return True


def choose_views(binding: Binding, block: int, attempt: Callable[[frozenset[int]], AxisProof]) -> AxisProof:
    """The proof with the sizes of other modules' parameters that suit the plan: global ones where those are right.

    Args:
        binding: the plan and the model.
        block: the number of the block.
        attempt: proves the plan with the rank's sizes for the parameters of some entries of the block.
    """
    best = attempt(frozenset())
    if not _faults(best):
        return best
    entries = SizeViews(binding, block).entries_read()
    choices = [frozenset(entries)] if entries else []
    if len(entries) > 1:
        choices += [frozenset((entry,)) for entry in entries]
    for choice in choices:
        best = min(best, attempt(choice), key=_faults)
        if not _faults(best):
            break
    return best


def _faults(proof: AxisProof) -> int:
    return sum(len(each.violations) for each in proof.analysis.distinct_analyses())


def _is_of_other_module(name: str) -> bool:
    return "." in name or name.startswith("/")


_ParamId = tuple[int, str]
"""A parameter of equal modules: the identity of the bound module, and the name there."""


def _identity(binding: Binding, parameter: str) -> _ParamId:
    owner, _, own = parameter.rpartition(".")
    return id(binding.root.find_submodule(owner)), own


_Uses = tuple[Mapping[int, frozenset[str]], frozenset[_ParamId], frozenset[int]]


def _params_used(binding: Binding) -> _Uses:
    """The parameters of other modules with whose entries the code of each bound module computes, by the module's
    identity; the parameters that modules hand to others: these find what the first one finds; and the modules that are
    called."""
    called: set[int] = set()
    used: dict[int, set[str]] = {}
    handed_on: set[_ParamId] = set()
    by_function: dict[int, tuple[frozenset[str], frozenset[str]]] = {}
    for path, bound, number in _calls(binding):
        if number not in by_function:
            by_function[number] = _params_of_function(binding.graph.functions[number])
        other, passed = by_function[number]
        called.add(id(bound))
        if other:
            used.setdefault(id(bound), set()).update(other)
        handed_on.update(_identity(binding, join_module_path(path, name)) for name in passed)
    for tie in binding.graph.ties:
        names = {_identity(binding, name) for name in tie}
        if not handed_on.isdisjoint(names):
            handed_on |= names
    return {key: frozenset(names) for key, names in used.items()}, frozenset(handed_on), frozenset(called)


def _params_of_function(function: Function) -> tuple[frozenset[str], frozenset[str]]:
    """The parameters of other modules that a function computes with or passes on; those that it passes on or returns."""
    used = leaves([(step.arguments, *step.keywords.values()) for step in function.steps], WeightRef)
    calls = [step for step in function.steps if isinstance(step, Call)]
    passed = leaves([(call.arguments, *call.keywords.values()) for call in calls], WeightRef)
    returned = leaves(function.result, WeightRef)
    return (
        frozenset(ref.name for ref in used if _is_of_other_module(ref.name)),
        frozenset(ref.name for ref in (*passed, *returned)),
    )


def _sizes_read(binding: Binding) -> list[tuple[str, str]]:
    """Each module that reads the size of a weight, and the weight, by their full names."""
    by_function: dict[int, list[tuple[str, str]]] = {}
    found: dict[tuple[str, str], None] = {}
    for path, _, number in _calls(binding):
        if number not in by_function:
            by_function[number] = list(dict.fromkeys(_sizes_read_by(binding.graph.functions[number])))
        for reader, name in by_function[number]:
            found[join_module_path(path, reader), join_module_path(path, name)] = None
    return list(found)


def _sizes_read_by(function: Function) -> Iterator[tuple[str, str]]:
    for step in function.steps:
        for number in sizes_of_weights((step.arguments, step.keywords)):
            yield number.reader or "", number.arguments[0].name
    for number in sizes_of_weights(function.result):
        yield number.reader or "", number.arguments[0].name


def sizes_of_weights(item: object) -> Iterable[SymNumber]:
    """The sizes of weights that numbers in arguments or a result are computed from."""
    for _, node in nodes(item, into=ARGUMENT_NODES):
        if isinstance(node, SymNumber) and node.reads_size and isinstance(node.arguments[0], WeightRef):
            yield node


def _calls(binding: Binding) -> Iterator[tuple[str, BoundModule, int]]:
    """Every call of a module, each once: its full name, the module, and the number of the function."""
    seen: set[tuple[str, int]] = set()
    pending = [("", len(binding.graph.functions) - 1)]
    while pending:
        path, number = pending.pop()
        bound = binding.root.find_submodule(path)
        if (path, number) in seen or bound is None:
            continue
        seen.add((path, number))
        yield path, bound, number
        for step in binding.graph.functions[number].steps:
            if not isinstance(step, Op):
                pending.append((join_module_path(path, step.module), step.function))
