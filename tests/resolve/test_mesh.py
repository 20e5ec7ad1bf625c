"""Sizes of the mesh, and groups that cross nodes."""

from __future__ import annotations

from itertools import product

import pytest

from planc.checks.tensor_across_nodes import spans_nodes
from planc.compile import check_document
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.syntax.read_file import read_source


def groups_on_two_nodes(outer: int, size: int, stride: int, node: int) -> bool:
    """Every group spelled out, rank by rank."""
    for o, s in product(range(outer), range(stride)):
        ranks = [o * size * stride + i * stride + s for i in range(size)]
        if len({rank // node for rank in ranks}) > 1:
            return True
    return False


def test_crossing_agrees_with_every_group_spelled_out() -> None:
    for outer, size, stride, node in product(range(1, 6), range(1, 9), range(1, 5), range(1, 13)):
        wanted = groups_on_two_nodes(outer, size, stride, node)
        assert spans_nodes(size, stride, node, outer * size * stride) is wanted, (outer, size, stride, node)


def test_crossing_of_an_unknown_world_is_said_only_where_it_is_sure() -> None:
    for size, stride, node in product(range(1, 9), range(1, 5), range(1, 13)):
        if spans_nodes(size, stride, node, None):
            assert all(groups_on_two_nodes(outer, size, stride, node) for outer in range(1, 5))


SIZES = [
    # mesh, flags, sizes, codes
    ("dp, tp", {}, [None, None], []),
    ("dp, tp", {"axis_sizes": {"tp": 8}}, [None, 8], []),
    ("dp, tp", {"axis_sizes": {"tp": 8}, "world_size": 64}, [8, 8], []),
    ("dp, tp", {"axis_sizes": {"tp": 8, "dp": 8}, "world_size": 64}, [8, 8], []),
    ("dp=auto, tp=8", {"world_size": 64}, [8, 8], []),
    ("dp=auto, tp=8", {}, [None, 8], []),
    ("dp=2, tp=8", {"axis_sizes": {"tp": 8}}, [2, 8], []),
    ("dp, tp", {"world_size": 64}, [None, None], ["M204"]),
    ("dp=auto, tp=auto", {}, [None, None], ["M204"]),
    ("dp=auto, tp", {"world_size": 8}, [None, None], ["M204"]),
    ("dp, tp=8", {"world_size": 12}, [None, 8], ["M203"]),
    ("dp=2, tp=8", {"world_size": 12}, [2, 8], ["M203"]),
    ("dp=2, tp=8", {"axis_sizes": {"tp": 4}}, [2, 8], ["M205"]),
    ("dp=0, tp=8", {}, [None, 8], ["M205"]),
    ("dp, tp", {"axis_sizes": {"pp": 4}}, [None, None], ["M205"]),
    ("dp, tp", {"axis_sizes": {"pp": 1}}, [None, None], []),
    ("dp, tp=16", {"world_size": 8}, [None, 16], ["M203"]),
]


@pytest.mark.parametrize(("mesh", "flags", "sizes", "codes"), SIZES)
def test_sizes(mesh: str, flags: dict[str, object], sizes: list[int | None], codes: list[str]) -> None:
    text = f"mesh {mesh}\ntensor tp {{ a colwise }}\nfsdp dp {{ root }}\n"
    result = check_document(read_source(Source("a.plan", text)), Settings(**flags))
    assert [axis.size for axis in result.resolved.axes] == sizes
    assert [d.law.code for d in result.diagnostics] == codes
