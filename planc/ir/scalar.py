"""Values that are one piece of text, in a plan and in its data form alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_core import CoreSchema


class Scalar:
    """Mixin of a record that stands as a string in JSON and YAML.

    `str(value)` is its canonical text.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        # Loaded on first use: reading a plan's text needs no pydantic.
        from planc.data.scalars import schema

        return schema(cls)


class Tagged:
    """Marks a union whose member is named by a field, as `pydantic.Discriminator` does."""

    def __init__(self, field: str) -> None:
        self.field = field

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        from pydantic import Discriminator

        return Discriminator(self.field).__get_pydantic_core_schema__(source, handler)
