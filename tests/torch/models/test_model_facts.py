"""Facts of models, and the numbers that their code reads off objects that hold settings."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

pytest.importorskip("torch")

import attr
import pydantic
import torch
from torch import Tensor, nn

from planc.torch.models.hugging_face import config_facts
from planc.torch.models.model_facts import model_facts
from planc.torch.models.record_fields import SETTINGS_NAMES
from tests.torch.capture.tiny import FunctionModule, graph_of, steps_of, x

FACTS = {"heads": 4, "tied": True}


@dataclass
class Record:
    heads: int = 4
    tied: bool = True
    rate: float = 0.5
    name: str = "small"


@dataclass(slots=True)
class Slotted:
    heads: int = 4
    tied: bool = True


@attr.define
class Attrs:
    heads: int = 4
    tied: bool = True


class Pydantic(pydantic.BaseModel):
    heads: int = 4
    tied: bool = True


class Named(NamedTuple):
    heads: int
    tied: bool


class Plain:
    tied = True

    def __init__(self) -> None:
        self.heads = 4
        self._private = 1

    @property
    def raising(self) -> int:
        raise RuntimeError


RECORDS: dict[str, Callable[[], Any]] = {
    "dataclass": Record, "slots": Slotted, "attrs": Attrs, "pydantic": Pydantic,
    "named tuple": lambda: Named(4, True), "namespace": lambda: SimpleNamespace(**FACTS),
    "argparse": lambda: argparse.Namespace(**FACTS), "mapping": lambda: dict(FACTS),
}  # fmt: skip


class Outer(nn.Module):
    """Holds an object, and a module inside that reads heads off it."""

    def __init__(self, name: str, holder: Any, read: Callable[[Any], int]) -> None:
        super().__init__()
        self.inner = FunctionModule(lambda y: y * read(getattr(self.inner, name)))
        setattr(self, name, holder)
        setattr(self.inner, name, holder)

    def forward(self, y: Tensor) -> Tensor:
        return self.inner(y)


def read_heads(holder: Any) -> int:
    heads: int = holder["heads"] if isinstance(holder, dict) else holder.heads
    return heads


@pytest.mark.parametrize("name", [*SETTINGS_NAMES, "sizes"])
@pytest.mark.parametrize("kind", RECORDS)
def test_records_of_each_kind(kind: str, name: str) -> None:
    """A plan can set what the code reads, under whatever name; facts have the usual names."""
    holder = RECORDS[kind]()
    model = Outer(name, holder, read_heads)
    assert model_facts(model) == (FACTS if name in SETTINGS_NAMES else {})
    graph = graph_of(model, x())
    assert graph.modules[0].attributes == {f"{name}.heads": 4}
    assert type(read_heads(holder)) is int, "the object of the user is left alone"


@pytest.mark.parametrize("name", SETTINGS_NAMES)
def test_an_object_of_any_class(name: str) -> None:
    for holder in (Plain(), type("Constants", (), dict(FACTS))):
        assert model_facts(Outer(name, holder, read_heads)) == FACTS
    assert graph_of(Outer(name, Plain(), read_heads), x()).modules[0].attributes == {f"{name}.heads": 4}


def test_settings_within_settings() -> None:
    holder = SimpleNamespace(width=8, model=Record(), data={"rows": 3, "width": 1}, size=5)
    assert model_facts(Outer("cfg", holder, lambda one: one.model.heads)) == {
        **FACTS, "rows": 3, "size": 5, "width": 8,
    }  # fmt: skip
    graph = graph_of(Outer("cfg", holder, lambda one: one.model.heads), x())
    assert graph.modules[0].attributes == {"cfg.model.heads": 4}


def test_the_nearest_holder_counts() -> None:
    model = nn.Sequential(FunctionModule(torch.relu), FunctionModule(torch.relu))
    model[0].config, model[1].config = SimpleNamespace(heads=4, depth=2), SimpleNamespace(heads=8, width=6)
    assert model_facts(model) == {"depth": 2, "width": 6}, "two modules do not agree on the heads"
    model.args = {"depth": 3}
    assert model_facts(model) == {"depth": 3, "width": 6}
    model.depth, model.classes = 4, 10
    assert model_facts(model) == {"classes": 10, "depth": 3, "width": 6}


def test_a_property_that_raises_is_no_fact() -> None:
    class Trap(nn.Module):
        @property
        def config(self) -> int:
            raise RuntimeError

    assert model_facts(Trap()) == {}


def test_a_model_of_transformers_has_the_facts_of_its_configuration() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=16)
    with torch.device("meta"):
        model = transformers.GPT2LMHeadModel(config)
    assert model_facts(model) == config_facts(config)
    assert model_facts(model)["num_attention_heads"] == 2


# ---- objects that code changes ------------------------------------------------------------------


@dataclass
class State:
    """What code changes while it runs."""

    depth: int = 0
    last: Tensor = field(default_factory=lambda: torch.empty(2, 6))


def effects(model: nn.Module) -> list[list[Any]]:
    return [step[:2] for step in steps_of(graph_of(model, x())) if step[0] == "attribute.changed"]


@pytest.mark.parametrize("kind", ["dataclass", "attrs", "pydantic", "namespace", "argparse"])
def test_a_setting_that_changes_while_others_read_it(kind: str) -> None:
    """Each module has a copy during a capture, so a change would be lost: nothing is proved over it."""

    class Switching(Outer):
        def forward(self, y: Tensor) -> Tensor:
            self.config.tied = False
            y = self.inner(y)
            self.config.tied = True
            return y

    assert effects(Switching("config", RECORDS[kind](), read_heads))
    assert not effects(Outer("config", RECORDS[kind](), read_heads))


def test_a_setting_that_keeps_another_value() -> None:
    class Counting(Outer):
        def forward(self, y: Tensor) -> Tensor:
            vars(self.sizes)["heads"] = 5
            return self.inner(y)

    assert effects(Counting("sizes", SimpleNamespace(heads=4), read_heads)) == [
        ["attribute.changed", ["'sizes"]]
    ]


def test_a_record_with_state_stays_shared() -> None:
    """A record that holds a tensor is no setting: two modules see each other's changes."""
    state = State()

    class Sharing(Outer):
        def forward(self, y: Tensor) -> Tensor:
            self.memo.last, self.memo.depth = y, 3
            return self.inner(y)

    graph = graph_of(Sharing("memo", state, lambda one: one.depth), x())
    assert steps_of(graph, 0) == [["mul", ["%0", 3], {}, [1]]]
