"""The JSON Schema of the data form."""

from __future__ import annotations

from typing import Any

from planc.syntax.data.read_data import plan_adapter


def json_schema() -> dict[str, Any]:
    """The schema, of draft 2020-12, with a description for every field that has one."""
    schema = plan_adapter().json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
