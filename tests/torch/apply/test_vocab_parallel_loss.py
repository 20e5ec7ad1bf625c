"""`loss vocab_parallel`: the loss on split logits, on processes of this machine."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import planc
from planc.forecast.collectives import forecast_collectives
from tests.rank_pool import run_on_ranks
from tests.torch.apply.family_graphs import family_graph
from tests.torch.apply.ranks.vocab_parallel_loss import LOSSES, UNSUPPORTED

ROWS = 12


@pytest.fixture(scope="module", params=[2, 4])
def count(request: pytest.FixtureRequest) -> int:
    """Of ranks."""
    number: int = request.param
    return number


@pytest.mark.parametrize("loss", LOSSES)
def test_as_on_whole_logits(count: int, loss: str) -> None:
    for found in run_on_ranks(
        count, "torch.apply.vocab_parallel_loss:compare_loss", loss=loss, dtype="float64"
    ):
        close = 1e-6 if loss == "shifted" else 1e-12  # it casts to float32
        assert found["loss"] < close
        assert found["gradient"] < close
    for found in run_on_ranks(
        count, "torch.apply.vocab_parallel_loss:compare_loss", loss=loss, dtype="float32"
    ):
        assert found["loss"] < 1e-6
        assert found["gradient"] < 1e-6


@pytest.mark.parametrize("loss", LOSSES)
def test_bfloat16(count: int, loss: str) -> None:
    for found in run_on_ranks(
        count, "torch.apply.vocab_parallel_loss:compare_loss", loss=loss, dtype="bfloat16"
    ):
        assert found["loss"] < 2**-7
        assert found["gradient"] < 2**-6


def test_two_small_collectives_forward_and_none_backward(count: int) -> None:
    for found in run_on_ranks(
        count, "torch.apply.vocab_parallel_loss:compare_loss", loss="as users write it", dtype="float32"
    ):
        assert found["collectives"] == [["all_reduce", ROWS * 4], ["all_reduce", 2 * ROWS * 4]]
    for found in run_on_ranks(
        count, "torch.apply.vocab_parallel_loss:compare_loss", loss="smoothed", dtype="bfloat16"
    ):
        assert found["collectives"] == [["all_reduce", ROWS * 4], ["all_reduce", 3 * ROWS * 4]]


def test_no_target_at_all(count: int) -> None:
    assert run_on_ranks(count, "torch.apply.vocab_parallel_loss:all_targets_ignored") == [True] * count


def test_what_it_shows(count: int) -> None:
    width = 8 * count
    assert run_on_ranks(count, "torch.apply.vocab_parallel_loss:logits_interface")[0] == {
        "shape": [2, 3, width], "size": width, "numel": 6 * width, "dtype": "torch.float32", "len": 2,
        "requires_grad": [True, False], "tensor": True, "gathered": [2, 3, width], "gradient": True,
        "text": f"VocabParallelLogits(shape=(2, 3, {width}),", "half": [2, 3, 8],
    }  # fmt: skip


def test_a_hook_of_the_gradient_sees_it_split(count: int) -> None:
    found = run_on_ranks(count, "torch.apply.vocab_parallel_loss:gradient_hook")[0]
    assert found["seen"] == [["VocabParallelLogits", 6, 16]]
    assert found["times"]
    assert "vocab-parallel logits do not support 'norm'" in found["message"]


def test_anything_else_says_how_to_gather(count: int) -> None:
    found = run_on_ranks(count, "torch.apply.vocab_parallel_loss:unsupported_operations")[0]
    assert set(found) == set(UNSUPPORTED)
    for name, message in found.items():
        assert "logits.full_tensor()" in message, (name, message)


def test_labels_out_of_range(count: int) -> None:
    assert run_on_ranks(count, "torch.apply.vocab_parallel_loss:invalid_targets")[0] == [
        "IndexError: Target 16 is out of bounds.",
        "IndexError: Target -1 is out of bounds.",
        "ValueError: Expected target size [2], got [1]",
    ]


@pytest.fixture(scope="module")
def graph() -> str:
    return family_graph("llama")


@pytest.mark.parametrize("inside", [False, True], ids=["own loss", "labels"])
def test_llama(count: int, graph: str, inside: bool) -> None:
    for sizes in ({"dp": 1, "tp": count}, {"dp": 2, "tp": count // 2}):
        for found in run_on_ranks(
            count, "torch.apply.vocab_parallel_loss:llama_loss_error", graph=graph, sizes=sizes, inside=inside
        ):
            assert found["loss"] < 1e-6
            assert found["gradient"] < 1e-5


def test_the_forecast_has_them(graph: str) -> None:
    result = planc.check("llama", dp=1, tp=2, model=graph)
    assert result.binding is not None
    assert result.proof is not None
    found = [
        c for c in forecast_collectives(result.binding, result.proof) if c.tensor.endswith("of the loss")
    ]
    rows = 4 * 12  # batch and sequence that the graph was captured with
    assert [(c.kind, c.direction, c.dtype, c.bytes, c.count) for c in found] == [
        ("all_reduce", "forward", "float32", rows * 4, 1),
        ("all_reduce", "forward", "float32", 2 * rows * 4, 1),
    ]
