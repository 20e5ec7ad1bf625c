"""What FSDP2 really does of what a plan says."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

from tests.rank_pool import run_on_ranks
from tests.torch.apply.ranks.fsdp import UNITS

BLOCK = ["norm.weight", "norm.bias", "up.weight", "up.bias", "down.weight", "down.bias"]
ROOT = ["embed.weight", "head.weight", "head.bias"]


def fsdp_state(sizes: dict[str, int], *lines: str, axes: str = "dp") -> dict[str, Any]:
    found: dict[str, Any] = run_on_ranks(
        4, "torch.apply.fsdp:fsdp_state", sizes=sizes, lines=lines, axes=axes
    )[0]
    return found


def test_mixed_precision() -> None:
    found = fsdp_state({"dp": 2, "tp": 2}, "params: bf16, reduce: fp32", *UNITS)
    assert set(found) == {"", "blocks.0", "blocks.1"}
    assert all(unit["dtypes"] == ["bfloat16", "float32", "None"] for unit in found.values())
    found = fsdp_state({"dp": 4}, "params: fp16, output: fp32", *UNITS)
    assert [found[name]["dtypes"] for name in ("blocks.0", "")] == [
        ["float16", "float16", "None"], ["float16", "float16", "float32"],
    ]  # fmt: skip
    assert all(unit["offload"] == "OffloadPolicy" for unit in found.values())
    assert run_on_ranks(4, "torch.apply.fsdp:compute_dtypes")[0] == {
        "inside": "torch.bfloat16", "result": "torch.float32", "kept": "torch.float32", "gradient": "torch.float32",
    }  # fmt: skip


def test_units() -> None:
    found = fsdp_state({"dp": 2, "tp": 2}, "blocks.*.up", "embed + head", *UNITS)
    own = {name: sorted(unit["parameters"]) for name, unit in found.items()}
    assert own["blocks.1.up"] == ["blocks.1.up.bias", "blocks.1.up.weight"]
    assert own["blocks.1"] == sorted(f"blocks.1.{name}" for name in BLOCK if not name.startswith("up"))
    assert own["embed"] == sorted(ROOT)
    assert "" not in own or own[""] == []


def test_units_of_several_modules_come_after_what_lies_in_them() -> None:
    found = fsdp_state({"dp": 4}, "embed + blocks.1", "blocks.1.up + head", "root")
    own = {name: sorted(unit["parameters"]) for name, unit in found.items()}
    assert own["blocks.1.up"] == ["blocks.1.up.bias", "blocks.1.up.weight", "head.bias", "head.weight"]
    assert "blocks.1.down.weight" in own["embed"]
    assert "blocks.1.up.weight" not in own["embed"]
    assert own[""] == sorted(f"blocks.0.{name}" for name in BLOCK)


def test_reshard() -> None:
    found = fsdp_state(
        {"dp": 4},
        "embed  keep",
        "blocks.0  reshard(2)",
        "blocks.1  reshard(4)",
        "head  reshard(1)",
        "root",
    )
    assert {name: unit["reshard"] for name, unit in found.items() if name} == {
        "embed": None, "blocks.0": 2, "blocks.1": 4, "head": None,
    }  # fmt: skip
    found = fsdp_state({"dp": 2, "tp": 2}, "head  keep", "blocks.1  reshard(2)", *UNITS[1:])
    assert {name: unit["reshard"] for name, unit in found.items()} == {"": None, "head": None, "blocks.1": 2}


def test_reshard_to_a_part_is_refused_beside_a_tensor_axis() -> None:
    """Torch would raise in the first forward pass."""
    why = ["reshard(2): FSDP2 reshards to a part of its axis only without a tensor axis"]
    assert (
        run_on_ranks(
            4,
            "torch.apply.fsdp:rejection_reasons",
            sizes={"dp": 4, "tp": 1},
            lines=["blocks.*  reshard(2)", "root"],
        )
        == [[]] * 4
    )
    found = run_on_ranks(
        8,
        "torch.apply.fsdp:rejection_reasons",
        sizes={"dp": 4, "tp": 2},
        lines=["blocks.*  reshard(2)", "root"],
    )
    assert found[0] == why


@pytest.mark.parametrize(
    ("sizes", "axes", "wanted"),
    [({"tp": 2, "dp": 2}, "dp", "dp, tp"), ({"dp": 2, "pod": 2}, "dp replicate pod", "pod, dp")],
    ids=["tensor outside", "replicas inside"],
)
def test_order_of_the_mesh(sizes: dict[str, int], axes: str, wanted: str) -> None:
    why = f"the axes of the mesh are {', '.join(sizes)}; FSDP2 needs them in the order {wanted}"
    assert (
        run_on_ranks(4, "torch.apply.fsdp:rejection_reasons", sizes=sizes, lines=UNITS, axes=axes)
        == [[why]] * 4
    )


def test_no_warning() -> None:
    assert (
        run_on_ranks(
            4, "torch.apply.fsdp:warnings_of", sizes={"dp": 4}, lines=["blocks.*  reshard(1)", "root"]
        )
        == [[]] * 4
    )
    assert (
        run_on_ranks(
            4, "torch.apply.fsdp:warnings_of", sizes={"dp": 2, "tp": 2}, lines=["offload: cpu", *UNITS]
        )
        == [[]] * 4
    )


def test_hsdp() -> None:
    found = fsdp_state({"pod": 2, "dp": 2}, *UNITS, axes="dp replicate pod")
    assert all(unit["mesh"] == ["HSDPMeshInfo", 2, 2] for unit in found.values())
    found = fsdp_state({"dp": 4}, *UNITS)
    assert all(unit["mesh"] == ["FSDPMeshInfo", 4] for unit in found.values())


def test_offload() -> None:
    found = fsdp_state({"dp": 2, "tp": 2}, "offload: cpu", *UNITS)
    assert all(unit["offload"] == "CPUOffloadPolicy" and unit["rest"] == ["cpu"] for unit in found.values())


def test_dims_that_divide() -> None:
    """The first dim that the ranks divide; the first, padded, where they divide none."""
    found = fsdp_state({"dp": 2, "tp": 2}, *UNITS)
    dims = dict(zip(found["blocks.0"]["parameters"], found["blocks.0"]["dims"], strict=True))
    assert [dims[f"blocks.0.{name}"] for name in BLOCK] == [0, 0, 1, 0, 0, 0]


EVERY = [
    ({"dp": 4}, [], "dp"),
    ({"dp": 2, "tp": 2}, [], "dp"),
    ({"pod": 2, "dp": 2}, [], "dp replicate pod"),
    ({"dp": 4}, ["offload: cpu"], "dp"),
    ({"dp": 2, "tp": 2}, ["offload: cpu", "blocks.1.up  keep", "embed + head"], "dp"),
    ({"dp": 4}, ["blocks.0  reshard(2)", "blocks.1.up", "blocks.1.down + head"], "dp"),
]


@pytest.mark.parametrize("case", EVERY, ids=lambda c: f"{c[0]} {c[1]}")
@pytest.mark.parametrize("micro", [1, 2])
def test_numbers(case: Any, micro: int) -> None:
    """Gradients, their norm, and weights after clipped steps; with accumulation, too."""
    sizes, lines, axes = case
    units = UNITS if not any("blocks.0" in line for line in lines) else UNITS[1:]
    for found in run_on_ranks(
        4, "torch.apply.fsdp:train_steps", sizes=sizes, lines=[*lines, *units], axes=axes, micro=micro
    ):
        assert max(found.values()) < 1e-5, found
