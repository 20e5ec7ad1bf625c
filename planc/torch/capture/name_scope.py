"""Names of modules and weights, as the module that runs knows them."""

from __future__ import annotations

from torch import nn


class NameScope:
    """Whole names of a model, and how they are said below one of its modules."""

    def __init__(self, model: nn.Module) -> None:
        self._same: dict[str, list[str]] = {}
        """A name, and all names of the same module or weight."""
        by_identity: dict[int, list[str]] = {}
        for named in (model.named_modules, model.named_parameters, model.named_buffers):
            for name, thing in named(remove_duplicate=False):
                names = by_identity.setdefault(id(thing), [])
                names.append(name)
                self._same[name] = names
        self.ties = tuple(
            sorted(
                tuple(names)
                for names in {id(p): by_identity[id(p)] for p in model.parameters()}.values()
                if len(names) > 1
            )
        )
        """Names of parameters that are one tensor."""

    def weight_below(self, name: str, module: str) -> str:
        """A weight below a module, or from the model down."""
        return self.module_below(name, module)

    def module_below(self, name: str, module: str) -> str:
        """A module below another, or from the model down."""
        prefix = f"{module}." if module else ""
        names = self._same[name]
        inside = next((n for n in names if n.startswith(prefix)), None)
        return f"/{names[0]}" if inside is None else inside.removeprefix(prefix)

    def attribute_below(self, name: str, module: str) -> str:
        """An attribute, given as `/MODULE:NAME`, below a module if it is one's there."""
        owner, _, own = name.removeprefix("/").partition(":")
        names = self._same[owner]
        if module in names:
            return own
        prefix = f"{module}." if module else ""
        inside = next((n for n in names if n.startswith(prefix)), None)
        return f"/{names[0]}:{own}" if inside is None else f"{inside.removeprefix(prefix)}.{own}"

    def all_names(self, name: str) -> list[str]:
        """All names of a module."""
        return self._same[name]
