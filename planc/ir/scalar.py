"""Values that are one piece of text, in a plan and in its data form alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

MAX_SCALAR_LENGTH = 10_000
"""Characters of a scalar in the data form."""


class ScalarError(Exception):
    """A text that is not the scalar it should be. `code` is the law it breaks."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Scalar:
    """Mixin of a record that is a string in JSON and YAML.

    `str(value)` is its canonical text, and `parse` is its inverse.
    """

    description: ClassVar[str]
    """What the JSON Schema says about the string."""

    @classmethod
    def parse(cls, text: str) -> Any:
        """Read the text of a scalar.

        Raises:
            ScalarError: the text is not one.
        """
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        # Loaded on first use: reading the text of a plan needs no pydantic.
        from pydantic_core import PydanticCustomError, core_schema

        def validate(text: str) -> Any:
            try:
                return cls.parse(text)
            except ScalarError as bad:
                details = {"message": bad.message, "code": bad.code}
                raise PydanticCustomError("planc_scalar", "{message}", details) from None

        updates = {"pydantic_js_updates": {"description": cls.description}}
        string = core_schema.str_schema(max_length=MAX_SCALAR_LENGTH, metadata=updates)
        as_string = core_schema.plain_serializer_function_ser_schema(
            str, return_schema=core_schema.str_schema()
        )
        return core_schema.no_info_after_validator_function(validate, string, serialization=as_string)


_PARSERS: dict[type[Scalar], Callable[[str], Any]] = {}


def register_parser(scalar: type[Scalar], parse: Callable[[str], Any]) -> None:
    """Install how a scalar is read that only the parser of plans can read."""
    _PARSERS[scalar] = parse


def parse_registered(scalar: type[Scalar], text: str) -> Any:
    """Read a scalar by its installed parser.

    Raises:
        ScalarError: the text is not one.
        RuntimeError: no parser is installed; importing `planc.syntax.parse_scalar` does that.
    """
    if scalar not in _PARSERS:
        raise RuntimeError(f"planc.syntax.parse_scalar is not imported: nothing reads {scalar.__name__}")
    return _PARSERS[scalar](text)


class TaggedUnion:
    """Marks a union whose member is named by a field, as `pydantic.Discriminator` does."""

    def __init__(self, field: str) -> None:
        self.field = field

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        from pydantic import Discriminator

        return Discriminator(self.field).__get_pydantic_core_schema__(source, handler)


class FullMatch:
    """Marks a string that a regular expression must match completely."""

    def __init__(self, pattern: str, what: str) -> None:
        self.pattern, self.description = f"^(?:{pattern})$", what

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        from pydantic_core import core_schema

        text = core_schema.str_schema(pattern=self.pattern)
        return core_schema.custom_error_schema(text, "planc_word", custom_error_message=self.description)


class IntRange:
    """Marks an integer with its least and greatest value."""

    def __init__(self, least: int, greatest: int) -> None:
        self.least, self.greatest = least, greatest

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.int_schema(ge=self.least, le=self.greatest)


class NonEmpty:
    """Marks a tuple with at least one item."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        schema: Any = {**handler(source), "min_length": 1}
        return schema  # type: ignore[no-any-return]


# The data form allows what the text can express. Names that a plan declares are identifiers; names that
# planc looks up in a table may be any text of one line, since the lookup reports unknown ones.
Identifier = Annotated[str, FullMatch("[A-Za-z_][A-Za-z0-9_]*", "a name of letters, digits and _")]
ParamName = Annotated[
    str,
    FullMatch("[A-Za-z_][A-Za-z0-9_]*|[0-9]+", "a name of letters, digits and _, or the number of an item"),
]
DottedName = Annotated[
    str,
    FullMatch(
        r"[A-Za-z_][A-Za-z0-9_]*(?:\.(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]+))*",
        "names of letters, digits and _, or numbers of items, with dots between",
    ),
]
SingleLine = Annotated[str, FullMatch(r"[^\r\n]*", "a text of one line")]
BoundedCount = Annotated[int, IntRange(0, 10**12 - 1)]
BoundedInt = Annotated[int, IntRange(1 - 10**12, 10**12 - 1)]
