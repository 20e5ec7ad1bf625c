"""Which products run beside a gather: those of layers that take what is gathered, where nothing else does."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from planc.compile import check_document  # noqa: E402
from planc.ir.lowered import OverlappedGather  # noqa: E402
from planc.ir.resolved import Settings  # noqa: E402
from planc.ir.source import Source  # noqa: E402
from planc.lower.lower_plan import lower_binding  # noqa: E402
from planc.syntax.read_file import read_source  # noqa: E402
from tests.torch.capture.tiny import graph_of  # noqa: E402


class Gated(nn.Module):
    """Two layers that take the same tensor, and one that does not."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(6, 8), nn.Linear(6, 8, bias=False)
        self.down = nn.Linear(8, 6, bias=False)

    def forward(self, x: Any) -> Any:
        return self.down(self.gate(x).relu() * self.up(x))


class Reads(Gated):
    """Its code reads sizes, which are no use of the numbers."""

    def forward(self, x: Any) -> Any:
        rows = x.shape[0]
        return self.down((self.gate(x) * self.up(x)).view(rows, -1))


class Adds(Gated):
    def forward(self, x: Any) -> Any:
        return self.down(self.gate(x) * self.up(x)) + x


class Returns(Gated):
    def forward(self, x: Any) -> Any:
        return self.down(self.gate(x) * self.up(x)), x


class Once(Gated):
    """One layer takes what another module made of it."""

    def forward(self, x: Any) -> Any:
        return self.down(self.gate(x) * self.up(x.relu()))


class Twice(Gated):
    def forward(self, x: Any) -> Any:
        return self.down(self.gate(x) * self.gate(x) * self.up(x))


class Deeper(nn.Module):
    """The layers lie in a module between."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Gated()

    def forward(self, x: Any) -> Any:
        return self.inner(x)


class Model(nn.Module):
    """What enters is whole, as what leaves."""

    def __init__(self, inner: nn.Module, keyword: bool = False) -> None:
        super().__init__()
        self.inner, self.keyword = inner, keyword
        self.enter, self.leave = nn.Linear(6, 6), nn.Identity()

    def forward(self, x: Any) -> Any:
        x = self.enter(x)
        found = self.inner(x=x) if self.keyword else self.inner(x)
        return self.leave(found if isinstance(found, torch.Tensor) else found[0])


ENDS = ("enter outputs(0: replicate -> shard(0))", "leave inputs(0: shard(0) -> replicate)")
RULES = (
    "inner inputs(PLACE: shard(0) -> replicate)",
    "inner.gate colwise",
    "inner.up colwise",
    "inner.down rowwise -> shard(0)",
)
WHOLE = ("inner inputs(0: shard(0) -> replicate) outputs(0: replicate -> shard(0))",)


def overlapped_gathers(
    inner: nn.Module,
    *more: str,
    place: str = "0",
    overlap: str = "overlap: true",
    rules: tuple[str, ...] = RULES,
) -> dict[str, tuple[OverlappedGather, ...]]:
    """What the plan, which is right, tells. A gradient flows to what is gathered."""
    graph = graph_of(Model(inner, place == "x"), torch.empty(4, 6))
    lines = "\n".join((overlap, *ENDS, *rules)).replace("PLACE", place)
    text = f"mesh dp, tp\ntensor tp {{\n{lines}\n}}\n" + "\n".join(more)
    result = check_document(read_source(Source("<test>", text)), Settings({"dp": 2, "tp": 2}), graph)
    assert result.verdict == "proved", [d.headline for d in result.diagnostics]
    assert result.binding is not None
    assert result.proof is not None
    (axis,) = (a for a in lower_binding(result.binding, result.proof).tensor if a.axis == "tp")
    return dict(axis.overlapped_gathers)


BOTH = {"inner": (OverlappedGather((0,), ("gate", "up")),)}


@pytest.mark.parametrize("inner", [Gated, Reads, Twice])
def test_layers_that_alone_take_what_is_gathered(inner: type[nn.Module]) -> None:
    assert overlapped_gathers(inner()) == BOTH


def test_a_keyword() -> None:
    assert overlapped_gathers(Gated(), place="x") == {"inner": (OverlappedGather(("x",), ("gate", "up")),)}


@pytest.mark.parametrize("inner", [Adds, Returns, Once])
def test_none_where_something_else_takes_it(inner: type[nn.Module]) -> None:
    assert overlapped_gathers(inner(), rules=(*WHOLE, *RULES[1:3], "inner.down rowwise -> replicate")) == {}


@pytest.mark.parametrize("setting", ["", "overlap: false"])
def test_none_where_the_plan_does_not_ask_for_it(setting: str) -> None:
    assert overlapped_gathers(Gated(), overlap=setting) == {}


def test_a_layer_that_gathers_for_itself() -> None:
    layers = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 6))
    rules = ("inner.0 colwise shard(0) -> shard(-1)", "inner.1 rowwise -> shard(0)")
    assert overlapped_gathers(layers, rules=rules) == {"inner.0": (OverlappedGather((0,), ("",)),)}


def test_a_layer_that_is_whole() -> None:
    assert overlapped_gathers(Gated(), rules=WHOLE) == {}


@pytest.mark.parametrize(
    ("more", "stays"),
    [
        ("recompute { inner }", False),
        ("compile { inner }", False),
        ("recompute { inner.gate }", False),
        ("compile { inner.up }", False),
        ("fsdp dp {\ninner.gate\nroot\n}", False),
        ("fsdp dp {\ninner\nroot\n}", True),
        ("recompute { inner.down }", True),
    ],
)
def test_what_runs_by_itself_is_not_taken_apart(more: str, stays: bool) -> None:
    """What runs again, is compiled, or is gathered by FSDP with a layer inside stays around it."""
    found = overlapped_gathers(Gated(), more).get("inner", ())
    layers = found[0].layers if found else ()
    assert (layers == ("gate", "up")) == stays


@pytest.mark.parametrize(("more", "stays"), [("recompute { inner }", True), ("compile { inner }", False)])
def test_a_region_around_all_of_it(more: str, stays: bool) -> None:
    """What runs again as a whole does as it did; a compiler orders all that is inside of it."""
    rules = ("inner.inner inputs(PLACE: shard(0) -> replicate)", "inner.inner.{gate,up} colwise",
             "inner.inner.down rowwise -> shard(0)")  # fmt: skip
    rows = {"inner.inner": (OverlappedGather((0,), ("gate", "up")),)}
    assert overlapped_gathers(Deeper(), more, rules=rules) == (rows if stays else {})
