"""Tiny modules and the graphs that they have, word for word."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from planc.graph.graph_reader import graph_from_bytes  # noqa: E402
from planc.graph.graph_writer import graph_to_bytes  # noqa: E402
from tests.torch.capture.tiny import FunctionModule, graph_of, steps, steps_of, x  # noqa: E402

SIZE = {"size": ["%0", 1], "is": 6}


def test_a_linear() -> None:
    graph = graph_of(nn.Linear(6, 3), x())
    assert steps_of(graph) == [["linear", ["%0", "@weight", "@bias"], {}, [1]]]
    assert graph.main_function.result.number == 1
    assert graph.main_function.exports == (1,)
    assert [i.shape for i in graph.main_function.tensors] == [(2, 6), (2, 3)]
    assert graph.main_function.tensors[1].grad
    assert not graph.main_function.tensors[0].grad
    assert graph.inputs["0"].shape == (2, 6)


@pytest.mark.parametrize(
    ("read", "number"),
    [
        (lambda x: x.shape[1], SIZE),
        (lambda x: x.shape[-1], SIZE),
        (lambda x: x.size(-1), SIZE),
        (lambda x: x.size(dim=1), SIZE),
        (lambda x: x.size()[1], SIZE),
        (lambda x: x.shape[1:][0], SIZE),
        (lambda x: [*x.shape][1], SIZE),
        (lambda x: x.numel(), {"numel": ["%0"], "is": 12}),
        (torch.numel, {"numel": ["%0"], "is": 12}),
        (lambda x: x.shape[1] // 2, {"floordiv": [SIZE, 2], "is": 3}),
        (lambda x: 2 * x.shape[1] - 1, {"sub": [{"mul": [2, SIZE], "is": 12}, 1], "is": 11}),
        (lambda x: x.shape[1] ** 0.5, {"pow": [SIZE, 0.5], "is": 6**0.5}),
        (lambda x: 1 / x.shape[1], {"truediv": [1, SIZE], "is": 1 / 6}),
        (lambda x: -x.shape[1], {"neg": [SIZE], "is": -6}),
        (lambda x: math.prod(x.shape), {"mul": [{"mul": [1, {"size": ["%0", 0], "is": 2}], "is": 2}, SIZE], "is": 12}),
        (lambda x: sum(x.shape), {"add": [{"add": [0, {"size": ["%0", 0], "is": 2}], "is": 2}, SIZE], "is": 8}),
    ],
    ids=range(16),
)  # fmt: skip
def test_a_number_remembers_where_it_was_read(read: Any, number: Any) -> None:
    assert steps(lambda x: x * read(x))[-1] == ["mul", ["%0", number], {}, [1]]


def test_a_number_of_a_weight() -> None:
    linear = nn.Linear(6, 3)
    linear.forward = lambda x: x * linear.weight.shape[0]
    assert steps_of(graph_of(linear, x())) == [["mul", ["%0", {"size": ["@weight", 0], "is": 3}], {}, [1]]]


def test_a_number_names_the_module_that_read_a_weight() -> None:
    inner = FunctionModule(lambda x, rows: x * rows)
    linear = nn.Linear(6, 3)
    linear.inner = inner
    linear.forward = lambda x: inner(x, linear.weight.numel()) * linear.weight.shape[0]
    graph = graph_of(linear, x())
    called, caller = (
        [step.arguments[1] for step in f.steps if hasattr(step, "name")] for f in graph.functions
    )
    assert [number.reader for number in (*called, *caller)] == ["/", None]
    assert [number.arguments[0].name for number in (*called, *caller)] == ["/weight", "weight"]


def test_branches_and_bare_numbers_are_noted() -> None:
    compare = ["number.compare", ["'gt", SIZE, 3], {}, []]
    assert steps(lambda x: x.cos() if x.shape[1] > 3 else x)[:1] == [compare]
    assert steps(lambda x: x * math.sqrt(x.shape[1]))[0] == ["number.lost", [SIZE], {}, []]
    assert steps(lambda x: x * len(x))[0] == ["number.lost", [{"len": ["%0"], "is": 2}], {}, []]
    both = steps(lambda x: x * max(x.shape))
    assert both[0] == ["number.compare", ["'gt", SIZE, {"size": ["%0", 0], "is": 2}], {}, []]
    assert both[1][1][1] == SIZE


class Heads(nn.Module):
    """Reads numbers off itself, its child and its configuration."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads, self.sizes, self.flag = heads, (heads, 3), True
        self.config = Config(heads)
        self.inner = FunctionModule(torch.cos)
        self.inner.width = 6

    def forward(self, x: Any) -> Any:
        y = x.view(self.heads, *self.sizes[1:], -1) * self.config.count
        return y.reshape(-1, self.inner.width), self.flag


class Config:
    """A configuration that computes."""

    def __init__(self, count: int) -> None:
        self.count = count


def test_attributes() -> None:
    config = Config(2)
    model = Heads(2)
    model.config = config
    graph = graph_of(nn.ModuleDict({"a": model}).a, x())
    assert steps_of(graph) == [
        [
            "view",
            ["%0", {"attribute": ["'heads"], "is": 2}, {"attribute": ["'sizes.1"], "is": 3}, -1],
            {},
            [1],
        ],
        ["mul", ["%1", {"attribute": ["'config.count"], "is": 2}], {}, [2]],
        ["reshape", ["%2", -1, {"attribute": ["'inner.width"], "is": 6}], {}, [3]],
    ]
    assert graph.main_function.result[1] is True
    assert graph.modules[-1].attributes == {"config.count": 2, "heads": 2, "sizes.1": 3}
    assert graph.modules[0].attributes == {"width": 6}
    assert type(config.count) is int, "the configuration of the user is left alone"


def test_an_attribute_of_another_module_is_named_from_the_model() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.count = 3
            self.inner = FunctionModule(lambda x: x * self.count)

        def forward(self, x: Any) -> Any:
            return self.inner(x)

    graph = graph_of(Outer(), x())
    assert steps_of(graph, 0) == [["mul", ["%0", {"attribute": ["'/:count"], "is": 3}], {}, [1]]]
    assert graph.modules[-1].attributes == {"count": 3}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda y: y.add_(1), "add_"),
        (lambda y: y.__iadd__(1), "add_"),
        (lambda y: y.__setitem__(0, 1), "__setitem__"),
        (lambda y: y.mul_(2), "mul_"),
        (lambda y: torch.add(y, 1, out=y), "add"),
        (lambda y: nn.functional.relu(y, inplace=True), "relu"),
        (lambda y: nn.functional.dropout(y, 0.5, True, True), "dropout"),
    ],
)
def test_an_operation_in_place_gives_its_tensor_a_new_number(change: Any, name: str) -> None:
    def forward(x: Any) -> Any:
        y = x.cos()
        change(y)
        return y.sin()

    found = steps(forward)
    assert [(step[0], step[3]) for step in found] == [("cos", [1]), (name, [2]), ("sin", [3])]
    assert found[2][1] == ["%2"]


def test_a_view_that_is_changed_changes_what_it_looks_at() -> None:
    def forward(x: Any) -> Any:
        y = x.cos()
        y[0].add_(1)
        return y

    assert [step[:2] + step[3:] for step in steps(forward)] == [
        ["cos", ["%0"], [1]],
        ["__getitem__", ["%1", 0], [2]],
        ["add_", ["%2", 1], [3]],
        ["aliased", ["%3", "%1"], [4]],
    ]


def test_a_tensor_that_is_changed_changes_its_views() -> None:
    def forward(x: Any) -> Any:
        y = x.cos()
        view, _ = y.T, y[0]  # nobody uses the other
        y.zero_()
        return view

    assert [step[0] for step in steps(forward)] == ["cos", "T", "zero_", "aliased"]
    assert steps(forward)[-1][1] == ["%3", "%2"]


def test_a_changed_argument_is_changed_for_the_caller() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = FunctionModule(lambda y: (y.add_(1), None)[1])

        def forward(self, x: Any) -> Any:
            y = x.cos()
            self.inner(y)
            return y.sin()

    graph = graph_of(Outer(), x())
    assert steps_of(graph) == [
        ["cos", ["%0"], {}, [1]],
        [">inner", ["%1"], {}, [2], 0, [1]],
        ["sin", ["%2"], {}, [3]],
    ]
    assert steps_of(graph, 0)[1] == ["aliased", ["%2", "%1"], {}, [3]]
    assert graph.functions[0].exports == (3,)
    assert graph.functions[0].result is None


def test_a_buffer_that_is_written_to_is_kept() -> None:
    graph = graph_of(nn.BatchNorm1d(6), x())
    assert steps_of(graph)[0] == ["add_", ["@num_batches_tracked", 1], {}, [1]]


def test_what_nobody_uses_is_dropped() -> None:
    def forward(x: Any) -> Any:
        x.cos().sin() + 1
        torch.zeros(3)
        return x.exp()

    assert [step[0] for step in steps(forward)] == ["exp"]


def test_a_change_in_place_is_never_dropped() -> None:
    """A second run of the code would see it."""

    def forward(x: Any) -> Any:
        y = x.exp()
        x[0].tanh_()
        return y

    assert [step[0] for step in steps(forward)] == ["exp", "__getitem__", "tanh_"]


def test_what_computes_nothing_is_dropped() -> None:
    def forward(x: Any) -> Any:
        assert x.dim() == 2
        assert x.is_floating_point()
        assert not x.requires_grad
        assert x.device == torch.device("cpu")
        assert x.element_size() == 4
        with torch.no_grad():
            y = x.to(x.dtype).contiguous()
        assert y is x
        return y.cos()

    assert [step[0] for step in steps(forward)] == ["cos"]


def test_properties_and_iteration_are_operations() -> None:
    assert [step[0] for step in steps(lambda x: x.T.mT)] == ["T", "mT"]
    assert [step[0] for step in steps(lambda x: torch.stack([row.cos() for row in x]))] == [
        "unbind",
        "cos",
        "cos",
        "stack",
    ]


def test_arguments_of_every_kind() -> None:
    index = steps(lambda x: x[..., None, 1 : x.shape[1] : 2])
    assert index[-1][1] == ["%0", [{"other": "..."}, None, {"slice": [1, SIZE, 2]}]]
    made = steps(lambda x: x + torch.zeros(x.shape, dtype=torch.float32, device=x.device))
    assert made[0][2] == {"dtype": {"other": "float32"}, "device": {"other": "cpu"}}
    long = steps(lambda x: x + torch.tensor([0.0] * 3000)[:6])
    assert long[0][1] == [{"other": "3000 constants"}]


def test_a_graph_of_this_file_is_read_as_it_was_written() -> None:
    graph = graph_of(Heads(2), x())
    assert graph_from_bytes(graph_to_bytes(graph)) == graph
