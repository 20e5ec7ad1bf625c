"""The base of every record: a frozen dataclass that is cheap to define.

`@dataclass(frozen=True)` compiles six methods for each class, 0.7 ms a class;
planc has some forty records and a start-up budget of a few tens of ms. A
`Record` has the same methods, written once, here; `dataclasses.fields`, `asdict`
and pydantic work on it, and make it a dataclass when they first look.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

if TYPE_CHECKING:
    from typing import Self, dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Any:
        return lambda cls: cls


class _Fields:
    """Makes a record a dataclass when somebody asks whether it is one."""

    def __get__(self, _: object, cls: type[Record]) -> Any:
        if cls is Record:
            raise AttributeError("__dataclass_fields__")
        dataclass(init=False, repr=False, eq=False)(cls)
        return cls.__dict__["__dataclass_fields__"]


@dataclass_transform(frozen_default=True)
class Record:
    """A frozen value: equal, hashed and printed by its fields.

    Fields are declared as in a dataclass; defaults must be immutable.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",
        "strict": True,
        "use_attribute_docstrings": True,
    }
    __dataclass_fields__: ClassVar[Any] = _Fields()
    _names: ClassVar[tuple[str, ...]] = ()
    _defaults: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        notes = get_annotations(cls)
        own = [name for name, note in notes.items() if not note.startswith("ClassVar")]
        cls._names = (*cls._names, *own)
        cls._defaults = cls._defaults | {n: cls.__dict__[n] for n in own if n in cls.__dict__}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        values = self.__dict__
        values.update(self._defaults)
        if args:
            values.update(zip(self._names, args))
        if kwargs:
            values.update(kwargs)
        names = self._names
        # One name too many makes `values` longer, one missing makes it shorter; the rest is rare.
        if (
            len(values) != len(names)
            or len(args) > len(names)
            or (kwargs and self._has_wrong_keyword(args, kwargs))
        ):
            raise TypeError(f"{type(self).__name__}: {self._argument_error(args, kwargs)}")

    def _has_wrong_keyword(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether a keyword is not a field, or is also given by position."""
        rest = self._names[len(args) :]
        return any(name not in rest for name in kwargs)

    def _argument_error(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        placed = self._names[: len(args)]
        missing = [n for n in self._names if n not in (*placed, *kwargs) and n not in self._defaults]
        unknown = [n for n in kwargs if n not in self._names]
        twice = [n for n in kwargs if n in placed]
        errors = (("unknown", unknown), ("missing", missing), ("repeated", twice))
        return "; ".join(f"{error} {names}" for error, names in errors if names) or "too many arguments"

    def with_(self, **changes: Any) -> Self:
        """The same record with some fields changed, as `dataclasses.replace` makes it."""
        fields = {name: self.__dict__[name] for name in self._names}
        return type(self)(**{**fields, **changes})

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot delete {name!r}")

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        # By type too: True == 1 in Python, but `true` and `1` are two plans.
        pairs = ((self.__dict__[n], other.__dict__[n]) for n in self._names)
        return all(a == b and type(a) is type(b) for a, b in pairs)

    def __hash__(self) -> int:
        return hash((type(self), *map(self.__dict__.__getitem__, self._names)))

    def __repr__(self) -> str:
        """Without the fields that have their default: Python code that makes an equal record."""
        shown = (
            f"{n}={value!r}"
            for n in self._names
            if (value := self.__dict__[n]) != self._defaults.get(n, MISSING)
        )
        return f"{type(self).__name__}({', '.join(shown)})"
