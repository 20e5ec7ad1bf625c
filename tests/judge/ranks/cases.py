"""What the two ranks of the judge run."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import torch.distributed as dist

from tests.judge.communication import RankLink
from tests.judge.compare import Reference, compare

_reference: dict[str, Reference] = {}
"""The model of the last case, as it is: many cases in turn are of one."""


@cache
def _link() -> RankLink:
    return RankLink(dist.get_rank())


def judge(family: str, settings: dict[str, Any], case: dict[str, Any], policy: str) -> str | None:
    """What is wrong with a case on this rank; None: nothing."""
    key = json.dumps([family, settings])
    if key not in _reference:
        _reference.clear()
        _reference[key] = Reference(family, settings)
    return compare(_reference[key], case, _link(), policy)
