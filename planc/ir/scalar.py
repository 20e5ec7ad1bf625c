"""Values that are one piece of text, in a plan and in its data form alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from pydantic_core import CoreSchema


class Scalar:
    """Mixin of a record that stands as a string in JSON and YAML.

    `str(value)` is its canonical text.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        # Loaded on first use: reading a plan's text needs no pydantic.
        from planc.syntax.data.scalar_schema import scalar_schema

        return scalar_schema(cls)


class TaggedUnion:
    """Marks a union whose member is named by a field, as `pydantic.Discriminator` does."""

    def __init__(self, field: str) -> None:
        self.field = field

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        from pydantic import Discriminator

        return Discriminator(self.field).__get_pydantic_core_schema__(source, handler)


class FullMatch:
    """Marks a string that must match a regular expression, whole."""

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


# What the text can say is what the data may say. Names that a plan declares are words; what is
# looked up in a table may be any line, since the lookup refuses what is not there.
Identifier = Annotated[str, FullMatch("[A-Za-z_][A-Za-z0-9_]*", "a name of letters, digits and _")]
DottedName = Annotated[
    str,
    FullMatch(
        r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*",
        "names of letters, digits and _, with dots between",
    ),
]
SingleLine = Annotated[str, FullMatch(r"[^\r\n]*", "a text of one line")]
BoundedCount = Annotated[int, IntRange(0, 10**12 - 1)]
BoundedInt = Annotated[int, IntRange(1 - 10**12, 10**12 - 1)]
