"""The strategy in Fabric, on processes: with a plan, and with `parallelize_fn`, as Lightning's own.

Each row is a test of Lightning's own (`test_model_parallel_integration.py` of Fabric), and the one here
that asks the same.

| Lightning's                                       | here                                            |
| ------------------------------------------------- | ----------------------------------------------- |
| setup_device_mesh                                 | the_mesh                                        |
| tensor_parallel, fsdp2_tensor_parallel            | it_trains_as_one_process; compiled layers in    |
|                                                   | test_apply_compile.py                           |
| train_save_load                                   | a_folder_of_shards                              |
| save_full_state_dict                              | a_file                                          |
| load_full_state_dict_into_sharded_model           | a_file                                          |
| setup_module_move_to_device                       | where_a_module_lies                             |
| module_init_context                               | where_a_module_is_made                          |
| save_filter                                       | some_of_the_weights                             |
| clip_gradients                                    | clipping; by norm, too, which is skipped there  |
| save_sharded_and_consolidate_and_load             | shards_made_one_file                            |
| load_raw_module_state                             | weights_by_themselves                           |
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("lightning")

from tests.rank_pool import run_on_ranks

BOTH = pytest.mark.parametrize("planned", [False, True], ids=["function", "plan"])
NEAR = 1e-5


@BOTH
@pytest.mark.parametrize("sizes", [[1, 4], [4, 1], [2, 2], None], ids=str)
def test_the_mesh(planned: bool, sizes: list[int] | None) -> None:
    dp, tp = sizes or [1, 4]
    given = {"data_parallel_size": dp, "tensor_parallel_size": tp} if sizes else {}
    for rank, found in enumerate(
        run_on_ranks(4, "lightning.fabric_training:fabric_mesh", planned=planned, given=given)
    ):
        assert found == {
            "type": "cpu",
            "names": ["data_parallel", "tensor_parallel"],
            "shape": [dp, tp],
            "sampler": {"num_replicas": dp, "rank": rank // tp},
        }


@pytest.mark.parametrize(("dp", "tp"), [(1, 2), (2, 2), (4, 1)])
@pytest.mark.parametrize(
    ("planned", "together"),
    [(False, False), (True, False), (True, True)],
    ids=["function", "plan", "plan, with the optimizer"],
)
def test_it_trains_as_one_process(planned: bool, together: bool, dp: int, tp: int) -> None:
    given = {"planned": planned, "dp": dp, "tp": tp, "together": together}
    for found in run_on_ranks(dp * tp, "lightning.fabric_training:train_and_compare", **given):
        assert found["losses"] < NEAR
        assert found["weights"] < NEAR
        assert found["split"] == (8 if planned or dp > 1 else 6)
        assert found["mesh"] == dp * tp
        assert found["batches"] == 4
        assert found["optimized"]
        assert found["gradient"]
        assert found["sampler"]
        assert found["same in tensor groups"]
        assert found["differ between them"]


@BOTH
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_folder_of_shards(planned: bool, precision: str, tmp_path: Path) -> None:
    given = {"planned": planned, "precision": precision, "folder": str(tmp_path)}
    for found in run_on_ranks(4, "lightning.fabric_checkpoints:sharded_round_trip", **given):
        assert found["files"] == [".metadata", *(f"__{rank}_0.distcp" for rank in range(4)), "meta.pt"]
        assert found["rest"] == []
        assert found["steps"] == 1
        assert found["equal"]
        assert found["goes on"] == 0
        assert "contains a key 'coconut' that does not exist" in found["missing"]
        assert found["kept"] == 11


@BOTH
def test_a_file(planned: bool, tmp_path: Path) -> None:
    """Into split modules, into an unsplit one, and from there back; weights alone, too."""
    for found in run_on_ranks(
        2, "lightning.fabric_checkpoints:full_checkpoint", planned=planned, folder=str(tmp_path)
    ):
        assert found["steps"] == 1
        assert found["file"]
        assert found["names"]
        assert found["optimizer"] == ["param_groups", "state"]
        assert found["rest"] == found["rest alone"] == {"steps": 1}
        assert found["rest back"] == {"steps": 2}
        exact = ("split", "alone", "back", "goes on 1", "goes on 2", "raw")
        assert [found[what] for what in exact] == [0] * 6


@BOTH
def test_where_a_module_lies(planned: bool) -> None:
    for found in run_on_ranks(2, "lightning.fabric_training:move_to_device", planned=planned):
        assert found == {move: ["cpu", True, "cpu", "cpu"] for move in ("True", "False")}


@BOTH
@pytest.mark.parametrize("empty", [False, True], ids=["numbers", "meta"])
@pytest.mark.parametrize(
    ("precision", "dtype"), [("32-true", "float32"), ("16-true", "float16"), ("bf16-true", "bfloat16")]
)
def test_where_a_module_is_made(planned: bool, precision: str, dtype: str, empty: bool) -> None:
    """Under a plan the numbers are those of the unsplit module of that seed, wherever it was made."""
    given = {"planned": planned, "precision": precision, "empty": empty}
    for found in run_on_ranks(2, "lightning.fabric_training:init_contexts", **given):
        assert found["made"] == [f"{'meta' if empty else 'cpu'} {dtype}"]
        assert found["set up"] == [f"cpu {dtype}"]
        if planned or not empty:
            assert found["numbers"] == 0


def test_a_module_whose_numbers_are_not_known() -> None:
    for found in run_on_ranks(2, "lightning.fabric_training:uninitializable"):
        assert "'' (WithScale) holds tensors and has no reset_parameters()" in found["message"]
        assert not found["split"]


@BOTH
def test_some_of_the_weights(planned: bool, tmp_path: Path) -> None:
    for found in run_on_ranks(
        2, "lightning.fabric_checkpoints:filtered_checkpoint", planned=planned, folder=str(tmp_path)
    ):
        assert found["names"] == ["down.bias", "gate.bias", "norm.bias", "up.bias"]
        assert found["plain"]
        assert "filter" in found["refused"]
        assert not found["folder"]


@BOTH
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_clipping(planned: bool, precision: str) -> None:
    """64 gradients of 0.1: their norm is 0.8."""
    for found in run_on_ranks(
        2, "lightning.fabric_training:clipped_gradients", planned=planned, precision=precision
    ):
        assert found["after value"] == pytest.approx([0.05, 0.05])
        if planned:
            assert found["norm"] == pytest.approx(0.8, rel=5e-3)
            assert found["norm"] == pytest.approx(found["expected"])
            assert found["after norm"] == pytest.approx(0.01, rel=1e-3)


@BOTH
def test_shards_made_one_file(planned: bool, tmp_path: Path) -> None:
    """By Lightning's own function for that."""
    for found in run_on_ranks(
        4, "lightning.fabric_checkpoints:consolidated_checkpoint", planned=planned, folder=str(tmp_path)
    ):
        assert found == {"steps": 1, "weights": 0}


@BOTH
def test_weights_by_themselves(planned: bool, tmp_path: Path) -> None:
    for found in run_on_ranks(
        2, "lightning.fabric_checkpoints:raw_weights", planned=planned, folder=str(tmp_path)
    ):
        assert found["weights"] == 0
        assert "'norm.weight'" in found["missing"]
        assert found["others"]
        # Without a plan, Lightning has copied those before it by then.
        assert not (planned and found["touched"])


def test_an_optimizer_that_has_made_steps() -> None:
    for found in run_on_ranks(2, "lightning.fabric_training:optimizer_with_steps", planned=True):
        assert "has made steps already" in found["message"]
        assert not found["split"]


def test_micro_batches() -> None:
    for found in run_on_ranks(4, "lightning.fabric_training:accumulated_gradients"):
        assert found["weights"] < NEAR
