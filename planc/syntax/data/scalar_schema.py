"""Patterns, expressions and layouts as strings: how pydantic reads and writes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from planc.ir.expr import Expr
from planc.ir.layout import Layout
from planc.ir.pattern import Pattern, PatternError
from planc.syntax.parse_scalar import ScalarError, parse_expr, parse_layout

_PARSERS: dict[type, tuple[str, Callable[[str], Any]]] = {
    Pattern: ("a pattern of dotted module names, as model.layers.*.mlp", Pattern.parse),
    Expr: ("an expression, as num_attention_heads % tp == 0", parse_expr),
    Layout: ("replicate, partial, shard(DIM), or the name of a let", parse_layout),
}


def scalar_schema(cls: type) -> CoreSchema:
    """The pydantic schema of a record that stands as a string."""
    what, parse = _PARSERS[cls]

    def read(text: str) -> Any:
        try:
            return parse(text)
        except PatternError as bad:
            code = "planc_too_large" if bad.limit else "planc_pattern"
            raise PydanticCustomError(code, "{message}", {"message": bad.message}) from None
        except ScalarError as bad:
            raise PydanticCustomError(
                "planc_scalar", "{message}", {"message": str(bad), "code": bad.code}
            ) from None

    return core_schema.no_info_after_validator_function(
        read,
        core_schema.str_schema(max_length=10_000, metadata={"pydantic_js_updates": {"description": what}}),
        serialization=core_schema.plain_serializer_function_ser_schema(
            str, return_schema=core_schema.str_schema()
        ),
    )
