"""The JSON Schema of the data form."""

from __future__ import annotations

from typing import Any

from planc.data.read import adapter


def json_schema() -> dict[str, Any]:
    """The schema, of draft 2020-12, with a description for every field that has one."""
    schema = adapter().json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
