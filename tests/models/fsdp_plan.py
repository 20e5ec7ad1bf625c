"""A plan that suits any model: a unit for each repeated block, and the rest in one."""

from __future__ import annotations

from collections.abc import Iterator

from planc.ir.graph import Call, ModelGraph


def fsdp_plan(graph: ModelGraph) -> str:
    """The text of a plan for FSDP."""
    units = [f"    {pattern}\n" for pattern in _repeated_blocks(graph)]
    return f"plan fsdp\nmesh dp\nfsdp dp {{\n{''.join(units)}    root\n}}\n"


def _repeated_blocks(graph: ModelGraph) -> Iterator[str]:
    """Patterns of the blocks in the outermost lists: modules named by numbers that are called and have parameters."""
    called = set(_called_modules(graph, "", len(graph.functions) - 1))
    modules = graph.modules_by_name
    parents: dict[str, list[str]] = {}
    for name in modules:
        parent, _, last = name.rpartition(".")
        if last.isdigit():
            parents.setdefault(parent, []).append(last)
    chosen: list[str] = []
    for parent, numbers in parents.items():
        prefix = f"{parent}." if parent else ""
        blocks = [n for n in numbers if f"{prefix}{n}" in called and _has_parameters(graph, f"{prefix}{n}")]
        if _is_tied_outside(graph, [f"{prefix}{number}" for number in blocks]):
            continue  # tied parameters must be in one unit
        if len(blocks) < 2 or any(parent == outer or parent.startswith(f"{outer}.") for outer in chosen):
            continue
        chosen += [f"{prefix}{number}" for number in blocks]
        yield f"{prefix}{'*' if blocks == numbers else '{' + ','.join(blocks) + '}'}"


def _has_parameters(graph: ModelGraph, name: str) -> bool:
    return any(parameter.startswith(f"{name}.") for parameter in graph.parameters)


def _is_tied_outside(graph: ModelGraph, blocks: list[str]) -> bool:
    """Whether a parameter of a block is also one of another block, or of the rest."""
    homes = [
        {next((block for block in blocks if name.startswith(f"{block}.")), "") for name in tie}
        for tie in graph.ties
    ]
    return any(len(home) > 1 for home in homes)


def _called_modules(graph: ModelGraph, caller: str, function: int) -> Iterator[str]:
    """The names of all modules that a function calls, at any depth."""
    for step in graph.functions[function].steps:
        if isinstance(step, Call):
            is_absolute = step.module.startswith("/")
            below = step.module.removeprefix("/")
            name = below if is_absolute or not caller else f"{caller}.{below}" if below else caller
            yield name
            yield from _called_modules(graph, name, step.function)
