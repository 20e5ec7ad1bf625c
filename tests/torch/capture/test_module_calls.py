"""How modules call each other, and what they hand over otherwise."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from planc.graph.graph_reader import graph_from_bytes  # noqa: E402
from planc.graph.graph_writer import graph_to_bytes  # noqa: E402
from planc.ir.graph import TorchConstant, Value  # noqa: E402
from tests.torch.capture.replay import Replay, leaves  # noqa: E402
from tests.torch.capture.tiny import FunctionModule, graph_of, steps_of, x  # noqa: E402


class Block(nn.Module):
    """Two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(6, 8), nn.Linear(8, 6)

    def forward(self, x: Any, *, scale: float = 1.0) -> Any:
        return self.down(self.up(x).relu()) * scale


def test_calls_are_kept_as_they_were_made() -> None:
    model = nn.Sequential(Block(), Block(), Block())
    graph = graph_of(model, x().requires_grad_())
    assert [step[0] for step in steps_of(graph)] == [">0", ">1", ">2"]
    assert len({step[4] for step in steps_of(graph)}) == 1
    assert len(graph.functions) == 4
    assert [m.class_name for m in graph.modules] == ["Linear", "Linear", "Block", "Sequential"]
    assert graph.modules[-1].children == {"0": 2, "1": 2, "2": 2}


def test_keywords_and_nested_arguments() -> None:
    @dataclass
    class Pair:
        one: Any
        two: Any

    class Cache:
        """An object that holds a tensor and is none of what is looked into."""

        def __init__(self, tensor: Any) -> None:
            self.tensor = tensor

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = FunctionModule(
                lambda a, b, *, c, cache, p: (a + b["x"][0] + p.one + cache.tensor, {"c": c})
            )

        def forward(self, x: Any) -> Any:
            y, cache = x.cos(), Cache(x.exp())
            return self.inner(x, {"x": [y, None]}, c=y, cache=cache, p=Pair(y, 3))

    graph = graph_of(Outer(), x())
    call = steps_of(graph)[-1]
    assert call == [
        ">inner",
        ["%0", {"map": {"x": ["%1", None]}}],
        {"c": "%1", "cache": {"other": "Cache"}, "p": {"map": {"one": "%1", "two": 3}}},
        [3, 4, 5],
        0,
        [1, 2],
    ]
    # The dictionaries are those of the caller: what the code finds in them is none of its own.
    inner = graph.functions[0]
    assert inner.inputs == 4
    assert steps_of(graph, 0)[0] == ["add", ["%0", "%2"], {}, [4]]
    assert inner.result == (Value(6), {"c": Value(1)})
    assert inner.exports == (6, 1, 1)
    assert graph.main_function.steps[-1].keywords["cache"] == TorchConstant("Cache")


class Closure(nn.Module):
    """Hands a tensor, and a number, past the calls between."""

    def __init__(self) -> None:
        super().__init__()
        self.maker = FunctionModule(self.make)
        self.user = nn.Sequential(FunctionModule(self.use))
        self.stash: Any = None

    def make(self, x: Any) -> Any:
        self.stash = x.cos()
        return x.sin()

    def use(self, x: Any) -> Any:
        return x * self.stash.shape[1] + self.stash

    def forward(self, x: Any) -> Any:
        return self.user(self.maker(x))


class Sizes(nn.Module):
    """Hands a module the size of a tensor that it is not handed, and uses what that module keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self.kept = FunctionModule(self.use), list[Any]()

    def use(self, x: Any, n: Any) -> Any:
        self.kept[1:] = [x, x.exp()]
        return x * n + self.kept[0], self.kept[2]

    def forward(self, x: Any) -> Any:
        y = x.cos()
        self.kept[:] = [x.sin()]
        one, two = self.user(x, y.shape[1])
        return one + two + self.kept[1] * self.kept[2]


def test_a_tensor_that_is_not_handed_over_is_exported_and_imported() -> None:
    graph = graph_of(Closure(), x())
    make, use, through = graph.functions[:3]
    assert steps_of(graph) == [[">maker", ["%0"], {}, [1, 2], 0, []], [">user", ["%1"], {}, [3], 2, [2]]]
    assert make.exports == (2, 1)
    assert (use.inputs, through.inputs) == (2, 2)
    assert steps_of(graph, 2) == [[">0", ["%0"], {}, [2], 1, [1]]]
    assert steps_of(graph, 1)[0] == ["mul", ["%0", {"size": ["%1", 1], "is": 6}], {}, [2]]


def test_what_is_handed_back_as_it_came_has_a_new_number() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.same = nn.Identity()

        def forward(self, x: Any) -> Any:
            return self.same(x) + x

    graph = graph_of(Outer(), x())
    assert steps_of(graph) == [[">same", ["%0"], {}, [1], 0, []], ["add", ["%1", "%0"], {}, [2]]]
    assert graph.functions[0].exports == (0,)


class Calling(nn.Module):
    """A module whose code calls another one, named `inner`."""

    def __init__(self, inner: Any, outer: Any) -> None:
        super().__init__()
        self.inner, self.outer = FunctionModule(inner), outer

    def forward(self, x: Any) -> Any:
        return self.outer(self.inner, x)


def calling(inner: Any, outer: Any) -> list[Any]:
    """The steps of a module whose code calls another one."""
    return steps_of(graph_of(Calling(inner, outer), x()))


def test_what_is_handed_back_in_a_container_has_a_new_number_if_nobody_else_has_that() -> None:
    kept: list[Any] = []

    def keeping(x: Any) -> Any:
        kept.append({"x": x})
        return kept[-1]

    found = calling(lambda x: {"x": x}, lambda inner, x: inner(x)["x"] + x)
    assert found[1] == ["add", ["%1", "%0"], {}, [2]]
    # What the caller finds in a dictionary that the module keeps may have passed no boundary.
    found = calling(keeping, lambda inner, x: inner(x)["x"] + x)
    assert found == [[">inner", ["%0"], {}, [1, 2], 0, []], ["add", ["%2", "%0"], {}, [3]]]


def test_lists_stay_the_lists_that_they_are() -> None:
    def outer(inner: Any, x: Any) -> Any:
        out = [x]
        inner(out)
        return out[1] + out[0]

    found = calling(lambda out: out.append(out[0].cos()), outer)
    assert found == [[">inner", [["%0"]], {}, [1], 0, [0]], ["add", ["%1", "%0"], {}, [2]]]


def test_a_tuple_is_made_anew() -> None:
    Both = namedtuple("Both", "one two")  # noqa: PYI024
    found = calling(
        lambda both: Both(both.two, both.one.cos()), lambda inner, x: inner(Both(x, x.sin())).one * x
    )
    assert found[1:] == [[">inner", [["%0", "%1"]], {}, [2, 3], 0, []], ["mul", ["%2", "%0"], {}, [4]]]


def test_what_a_module_keeps_is_not_what_it_returns() -> None:
    kept: list[Any] = []

    def keeping(x: Any) -> Any:
        kept[:] = [x, x.cos()]
        return kept[1]

    found = calling(keeping, lambda inner, x: (inner(x), *kept))
    assert found == [[">inner", ["%0"], {}, [1, 2, 3], 0, []]]


def test_a_size_is_that_of_the_tensor_that_it_was_read_from() -> None:
    found = calling(lambda x, n: x * n, lambda inner, x: inner(x, x.shape[1]))
    assert found == [[">inner", ["%0", {"size": ["%0", 1], "is": 6}], {}, [1], 0, [0]]]


def test_other_names_of_a_tensor_are_as_it_is() -> None:
    def inner(x: Any, three: Any) -> Any:
        assert x.mark == "here"
        assert three.item() == 3
        return x

    def outer(inner: Any, x: Any) -> Any:
        y = x * 1.0
        y.mark, y.requires_grad = "here", True
        with torch.no_grad():
            return inner(y, torch.tensor(3)).requires_grad

    assert graph_of(Calling(inner, outer), x()).main_function.result is True


def test_a_weight_that_an_attribute_holds_too_is_none_there() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(6))
            self.weights = [self.weight]

        def forward(self, x: Any) -> Any:
            return x * self.weights[0] * self.weight

    assert steps_of(graph_of(Model(), x())) == [
        ["opaque", ["@weight"], {}, [1]],
        ["mul", ["%0", "%1"], {}, [2]],
        ["mul", ["%2", "@weight"], {}, [3]],
    ]


def test_ties_and_shared_modules() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
            self.b.weight = self.a.weight
            self.c = self.d = Block()

        def forward(self, x: Any) -> Any:
            return self.d(self.b(self.a(x)))

    graph = graph_of(Tied(), x())
    assert graph.ties == (
        ("a.weight", "b.weight"),
        ("c.down.bias", "d.down.bias"),
        ("c.down.weight", "d.down.weight"),
        ("c.up.bias", "d.up.bias"),
        ("c.up.weight", "d.up.weight"),
    )
    assert [step[0] for step in steps_of(graph)] == [">a", ">b", ">c"]
    assert graph.modules[-1].children["c"] == graph.modules[-1].children["d"]


def test_a_weight_of_another_module_is_named_from_the_model() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(10, 6)
            self.head = FunctionModule(lambda x: x @ self.table.weight.T)

        def forward(self, x: Any) -> Any:
            return self.head(x)

    graph = graph_of(Outer(), x())
    assert steps_of(graph, 0)[0] == ["T", ["@/table.weight"], {}, [1]]


def test_a_tensor_from_nowhere_is_opaque() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.ones(6)

        def forward(self, x: Any) -> Any:
            return x.cos() + self.table

    assert steps_of(graph_of(Constant(), x()))[1:] == [
        ["opaque", [], {}, [2]],
        ["add", ["%1", "%2"], {}, [3]],
    ]


def test_a_function_with_a_gradient_of_its_own_is_one_operation() -> None:
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, x: Any) -> Any:
            return x.exp() * 2

        @staticmethod
        def backward(_: Any, gradient: Any) -> Any:
            return gradient

    before = torch.autograd.Function.__dict__["apply"]
    graph = graph_of(FunctionModule(lambda x: Double.apply(x.cos())), x())
    assert [step[0] for step in steps_of(graph)] == ["cos", "autograd.Function.Double"]
    assert torch.autograd.Function.__dict__["apply"] is before


def test_layers_that_are_left_out_by_chance_are_there() -> None:
    def forward(x: Any) -> Any:
        return x if torch.rand([]) < 0.1 else x.cos()

    assert steps_of(graph_of(FunctionModule(forward), x()))[-1][0] == "cos"


MODELS = {
    "attention": lambda: nn.MultiheadAttention(6, 2, batch_first=True),
    "encoder": lambda: nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True),
    "blocks": lambda: nn.Sequential(Block(), nn.LayerNorm(6), Block(), nn.GELU()),
    "convolution": lambda: nn.Sequential(nn.Conv1d(5, 4, 3, padding=1), nn.GroupNorm(2, 4)),
    "recurrent": lambda: nn.GRU(6, 6, batch_first=True),
    "closure": Closure,
    "sizes": Sizes,
}


@pytest.mark.parametrize("name", MODELS)
def test_a_graph_computes_what_the_module_computes(name: str) -> None:
    arguments = [torch.randn(2, 5, 6)] * (3 if name == "attention" else 1)
    torch.manual_seed(0)
    model = MODELS[name]().train()
    expected = list(leaves(model(*arguments)))
    graph = graph_of(_twin(name), *(torch.empty(2, 5, 6) for _ in arguments))
    assert graph_from_bytes(graph_to_bytes(graph)) == graph
    got = list(leaves(Replay(graph, model).run(arguments)))
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)


def _twin(name: str) -> nn.Module:
    with torch.device("meta"):
        return MODELS[name]()
