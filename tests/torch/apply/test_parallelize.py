"""`planc.parallelize` on processes: a model under a plan does what the model as it is does.

The families are those of the judge, at its sizes, in float32. `tests/torch/apply/ranks` runs on each rank.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import pytest

from tests.judge.families import FAMILIES
from tests.rank_pool import run_on_ranks
from tests.torch.apply.expected_rejections import EXPECTED_REJECTIONS
from tests.torch.apply.family_graphs import family_graph

SOME = ("llama", "mixtral", "gpt2", "t5", "whisper", "vit")
"""Families that differ: plain, with experts, with fused and tied weights, with two stacks and four
tied tables, with frozen weights, with a sequence that stays whole."""
WIDE = ("llama", "phi3", "deepseek_v3", "t5")


class Case(NamedTuple):
    """How a family is split. Shipped plans recompute their blocks; `mode` says how else."""

    title: str
    sizes: dict[str, int]
    families: tuple[str, ...] = tuple(FAMILIES)
    sequence_parallel: bool = True
    recompute: bool = True
    mode: str = ""
    params: str = "fp32"
    overlap: bool = False

    def case_arguments(self, graph: str | None) -> dict[str, Any]:
        plan: dict[str, Any] = {"recompute": self.recompute, "pods": "pod" in self.sizes}
        if self.mode or self.params != "fp32":
            plan |= {"mode": self.mode, "params": self.params}
        if self.overlap:
            plan["overlap"] = True
        return {
            "sizes": self.sizes,
            "graph": graph,
            "plan": plan,
            "sequence_parallel": self.sequence_parallel,
        }


TRAINED = (
    Case("tp 2", {"dp": 1, "tp": 2}),
    Case("tp 2, whole sequence, nothing recomputed", {"dp": 1, "tp": 2}, sequence_parallel=False, recompute=False),
    Case("dp 2, tp 2", {"dp": 2, "tp": 2}),
    Case("dp 2", {"dp": 2, "tp": 1}, SOME),
    Case("pod 2, dp 2", {"pod": 2, "dp": 2, "tp": 1}, SOME),
    Case("tp 4", {"dp": 1, "tp": 4}, WIDE),
    Case("tp 2, products beside gathers", {"dp": 1, "tp": 2}, SOME, overlap=True),
)  # fmt: skip
COUNTED = (
    Case("tp 2", {"dp": 1, "tp": 2}, recompute=False),
    Case("tp 2, recomputed, bf16 without a cast", {"dp": 1, "tp": 2}, params="bf16"),
    Case("tp 2, recomputed but for matmuls, whole sequence", {"dp": 1, "tp": 2}, SOME, sequence_parallel=False, mode="save(matmul)"),
    Case("tp 2, recomputed but for collectives", {"dp": 1, "tp": 2}, SOME, mode="save(collective)"),
    Case("tp 2, whole sequence", {"dp": 1, "tp": 2}, sequence_parallel=False, recompute=False),
    Case("dp 2, tp 2", {"dp": 2, "tp": 2}, recompute=False),
    Case("dp 2, tp 2, recomputed, bf16", {"dp": 2, "tp": 2}, params="bf16"),
    Case("pod 2, dp 2", {"pod": 2, "dp": 2, "tp": 1}, SOME, recompute=False),
    Case("pod 2, dp 1", {"pod": 2, "dp": 1, "tp": 1}, SOME, recompute=False),
)  # fmt: skip
CAPTURED_ITSELF = ("llama", "t5", "vit")


def faults(cases: tuple[Case, ...], what: str, name: str, graph: str | None) -> list[str]:
    """What is wrong with the cases of a family, on any rank."""
    found = []
    for case in cases:
        if name in case.families:
            for rank, wrong in enumerate(
                run_on_ranks(
                    prod(case.sizes.values()), f"torch.apply.{what}", name=name, **case.case_arguments(graph)
                )
            ):
                found += [f"{case.title}, rank {rank}: {fault}" for fault in wrong[:5]]
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_it_trains_as_the_unsplit_model(name: str) -> None:
    """Losses, first gradients, their norms, and weights after five steps with clipping."""
    wrong = faults(TRAINED, "training:train_and_compare", name, family_graph(name))
    if name in CAPTURED_ITSELF:
        wrong += faults(TRAINED[:1], "training:train_and_compare", name, None)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_collectives_are_those_of_the_forecast(name: str) -> None:
    """Kind, axis, bytes and count, forward and backward: those of boundaries, of the loss, of FSDP, and those
    that recomputed blocks run again."""
    wrong = faults(COUNTED, "collectives_vs_forecast:forecast_mismatches", name, family_graph(name))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", EXPECTED_REJECTIONS)
def test_what_is_refused_leaves_the_model_as_it_is(name: str) -> None:
    for found in run_on_ranks(2, "torch.apply.rejected_plans:try_rejected_plan", name=name):
        codes, reasons = EXPECTED_REJECTIONS[name]
        assert found["codes"] == codes
        assert len(found["reasons"]) == len(reasons)
        for reason, part in zip(found["reasons"], reasons, strict=True):
            assert part in reason
        assert not found["changed"]


@pytest.mark.parametrize(
    ("name", "sequence_parallel", "alike"),
    [
        # The embedding; then of each layer attention, and what comes out of attention and mlp.
        ("gpt2", True, [True, *[False] * 6]),
        ("gpt2", False, [True, *[False, True, True] * 2]),
        ("bert", True, [True, *[False] * 6, True]),
        ("bert", False, [True, *[False, True, True] * 2, True]),
    ],
)
def test_dropout(name: str, sequence_parallel: bool, alike: list[bool]) -> None:
    """Ranks drop the same of what is the same on all of them, and draw apart for what is split."""
    for found in run_on_ranks(
        2, "torch.apply.dropout:dropout_masks", name=name, sequence_parallel=sequence_parallel
    ):
        assert found["alike"] == alike
        assert all(0.05 < part < 0.15 for part in found["dropped"])
        assert not found["repeated"], "a mask comes twice"
        assert not found["apart afterwards"], "the ranks go on with different numbers"
    for wrong in run_on_ranks(
        2, "torch.apply.dropout:recomputed_masks", name=name, sequence_parallel=sequence_parallel
    ):
        assert not wrong
