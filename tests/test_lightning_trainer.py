"""The strategy in the Trainer, on processes: with a plan, and without one, as Lightning's own.

Each row is a test of Lightning's own (`test_model_parallel_integration.py` of its Trainer), and the one
here that asks the same; the others are of what a plan adds.

| Lightning's                                       | here                                            |
| ------------------------------------------------- | ----------------------------------------------- |
| setup_device_mesh                                 | the_mesh                                        |
| tensor_parallel, fsdp2_tensor_parallel            | it_trains_as_one_process                        |
| modules_without_parameters                        | a_metric                                        |
| module_init_context                               | where_a_model_is_made                           |
| strategy_state_dict                               | the_strategy_s_state_dict                       |
| load_full_state_checkpoint_into_regular_model     | files_to_and_from_unsplit_models                |
| load_standard_checkpoint_into_distributed_model   | files_to_and_from_unsplit_models                |
| save_load_sharded_state_dict                      | a_folder_of_shards                              |
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("lightning")

from tests.lightning.ranks import Ranks, shared

BOTH = pytest.mark.parametrize("planned", [False, True], ids=["by hand", "plan"])
NEAR = 1e-5


@pytest.fixture(scope="session")
def ranks() -> Ranks:
    return shared()


@BOTH
@pytest.mark.parametrize("sizes", [[1, 4], [4, 1], [2, 2], None], ids=str)
def test_the_mesh(planned: bool, sizes: list[int] | None, ranks: Ranks) -> None:
    """Of sizes that nobody gives, the nodes are the data axis, the devices of a node the tensor axis."""
    dp, tp = sizes or [1, 4]
    for rank, found in enumerate(ranks.ask(4, "conform:meshes", planned=planned, sizes=sizes)):
        assert found["type"] == "cpu"
        assert found["names"] == ["data_parallel", "tensor_parallel"]
        assert found["shape"] == [dp, tp]
        assert found["sampler"] == {"num_replicas": dp, "rank": rank // tp}


@BOTH
@pytest.mark.parametrize(("dp", "tp"), [(1, 2), (2, 2), (4, 1)])
def test_it_trains_as_one_process(planned: bool, dp: int, tp: int, ranks: Ranks) -> None:
    for found in ranks.ask(dp * tp, "conform:trains", planned=planned, dp=dp, tp=tp):
        assert found["losses"] < NEAR
        assert found["weights"] < NEAR
        # By hand, with tensor parallelism alone, the norm stays a plain parameter.
        assert len(found["split"]) == (8 if planned or dp > 1 else 6)
        assert found["mesh"] == dp * tp
        assert found["optimized"]
        assert not found["meta"]
        assert found["sampler"]
        assert found["batches"] == 4
        assert found["same in tensor groups"]
        assert found["differ between them"]


@BOTH
def test_a_metric(planned: bool, ranks: Ranks) -> None:
    """Two ranks, right 0 and 1 times of 4."""
    for found in ranks.ask(2, "conform:metrics", planned=planned):
        assert found == {"device": "cpu", "metric": 1 / 8}


@BOTH
@pytest.mark.parametrize("empty", [False, True], ids=["numbers", "meta"])
@pytest.mark.parametrize(
    ("precision", "dtype"), [("32-true", "float32"), ("16-true", "float16"), ("bf16-true", "bfloat16")]
)
def test_where_a_model_is_made(planned: bool, precision: str, dtype: str, empty: bool, ranks: Ranks) -> None:
    for found in ranks.ask(2, "conform:contexts", planned=planned, precision=precision, empty=empty):
        assert found["made"] == [f"{'meta' if empty else 'cpu'} {dtype}"]
        assert found["trained"] == [f"cpu {dtype}"]
        assert found["optimized"] == "cpu"


@BOTH
@pytest.mark.parametrize("sharded", [True, False], ids=["shards", "full"])
def test_the_strategy_s_state_dict(planned: bool, sharded: bool, ranks: Ranks) -> None:
    """Shards on every rank; whole tensors on the first rank alone."""
    for found in ranks.ask(2, "conform:states", planned=planned, sharded=sharded):
        has = sharded or found["rank"] == 0
        assert found["names"] == has
        assert found["empty"] == [not has, not has]
        assert found["whole"] == (not sharded)


@BOTH
def test_files_to_and_from_unsplit_models(planned: bool, ranks: Ranks, tmp_path: Path) -> None:
    for found in ranks.ask(2, "conform:to_and_fro", planned=planned, folder=str(tmp_path)):
        assert found["regular"] == 0
        if found["rank"] == 0:
            assert found["file"]
            assert found["restored"]
            assert found["states"] == found["states again"] == 0


@BOTH
def test_a_folder_of_shards(planned: bool, ranks: Ranks, tmp_path: Path) -> None:
    for found in ranks.ask(2, "conform:sharded", planned=planned, folder=str(tmp_path)):
        assert found["files"] == [".metadata", "__0_0.distcp", "__1_0.distcp", "meta.pt"]
        assert found["keys"] == ["hyper_parameters", "pytorch-lightning_version"]
        assert found["callbacks"] == 1
        assert found["started"] == [True]
        assert found["losses"] < NEAR
        assert found["weights"] < NEAR
