"""Names of modules, weights and attributes relative to the module whose code runs."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


class NameScope:
    """The full names in a model, and how a graph writes them below one of its modules.

    A relative name counts from that module; one that begins with `/` counts from the model.
    """

    def __init__(self, model: nn.Module) -> None:
        self._synonyms: dict[str, list[str]] = {}
        """By each name of a module or a weight, all its names."""
        by_identity: dict[int, list[str]] = {}
        for named in (model.named_modules, model.named_parameters, model.named_buffers):
            for name, owner in named(remove_duplicate=False):
                names = by_identity.setdefault(id(owner), [])
                names.append(name)
                self._synonyms[name] = names
        self.ties = _several(by_identity[id(p)] for p in model.parameters())
        """The names of each parameter that has several."""
        self.buffer_ties = _several(by_identity[id(b)] for b in model.buffers())
        """The names of each buffer that has several."""

    def name_below(self, name: str, module: str) -> str:
        """The name of a module or a weight, relative to a module if it lies below that."""
        below = self._name_inside(name, module)
        return f"/{self._synonyms[name][0]}" if below is None else below

    def attribute_below(self, name: str, module: str) -> str:
        """The name of an attribute, given as `/MODULE:NAME`, relative to a module if it lies there or below."""
        owner, _, own = name.removeprefix("/").partition(":")
        if module in self._synonyms[owner]:
            return own
        below = self._name_inside(owner, module)
        return f"/{self._synonyms[owner][0]}:{own}" if below is None else f"{below}.{own}"

    def all_names(self, name: str) -> list[str]:
        """All names of a module."""
        return self._synonyms[name]

    def _name_inside(self, name: str, module: str) -> str | None:
        prefix = f"{module}." if module else ""
        inside = next((n for n in self._synonyms[name] if n.startswith(prefix)), None)
        return None if inside is None else inside.removeprefix(prefix)


def _several(weights: Iterable[list[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(sorted({tuple(names) for names in weights if len(names) > 1}))
