"""The strategy in the Trainer, on processes: with a plan, and without one, as Lightning's own.

Each row is a test of Lightning's own (`test_model_parallel_integration.py` of its Trainer), and the one
here that asks the same; the others are of what a plan adds.

| Lightning's                                       | here                                            |
| ------------------------------------------------- | ----------------------------------------------- |
| setup_device_mesh                                 | the_mesh                                        |
| tensor_parallel, fsdp2_tensor_parallel            | it_trains_as_one_process; compiled layers in    |
|                                                   | test_apply_compile.py                           |
| modules_without_parameters                        | a_metric                                        |
| module_init_context                               | where_a_model_is_made                           |
| strategy_state_dict                               | the_strategy_s_state_dict                       |
| load_full_state_checkpoint_into_regular_model     | files_to_and_from_unsplit_models                |
| load_standard_checkpoint_into_distributed_model   | files_to_and_from_unsplit_models                |
| save_load_sharded_state_dict                      | a_folder_of_shards                              |
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lightning")

from tests.rank_pool import ROOT, environment, run_on_ranks

BOTH = pytest.mark.parametrize("planned", [False, True], ids=["by hand", "plan"])
NEAR = 1e-5


@BOTH
@pytest.mark.parametrize("sizes", [[1, 4], [4, 1], [2, 2], None], ids=str)
def test_the_mesh(planned: bool, sizes: list[int] | None) -> None:
    """Of sizes that nobody gives, the nodes are the data axis, the devices of a node the tensor axis."""
    dp, tp = sizes or [1, 4]
    for rank, found in enumerate(
        run_on_ranks(4, "lightning.trainer:trainer_mesh", planned=planned, sizes=sizes)
    ):
        assert found["type"] == "cpu"
        assert found["names"] == ["data_parallel", "tensor_parallel"]
        assert found["shape"] == [dp, tp]
        assert found["sampler"] == {"num_replicas": dp, "rank": rank // tp}


@BOTH
@pytest.mark.parametrize(("dp", "tp"), [(1, 2), (2, 2), (4, 1)])
def test_it_trains_as_one_process(planned: bool, dp: int, tp: int) -> None:
    for found in run_on_ranks(dp * tp, "lightning.trainer:train_and_compare", planned=planned, dp=dp, tp=tp):
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
def test_a_metric(planned: bool) -> None:
    """Two ranks, right 0 and 1 times of 4."""
    for found in run_on_ranks(2, "lightning.trainer:metric_reduction", planned=planned):
        assert found == {"device": "cpu", "metric": 1 / 8}


@BOTH
@pytest.mark.parametrize("empty", [False, True], ids=["numbers", "meta"])
@pytest.mark.parametrize(
    ("precision", "dtype"), [("32-true", "float32"), ("16-true", "float16"), ("bf16-true", "bfloat16")]
)
def test_where_a_model_is_made(planned: bool, precision: str, dtype: str, empty: bool) -> None:
    for found in run_on_ranks(
        2, "lightning.trainer:init_contexts", planned=planned, precision=precision, empty=empty
    ):
        assert found["made"] == [f"{'meta' if empty else 'cpu'} {dtype}"]
        assert found["trained"] == [f"cpu {dtype}"]
        assert found["optimized"] == "cpu"


@BOTH
@pytest.mark.parametrize("sharded", [True, False], ids=["shards", "full"])
def test_the_strategy_s_state_dict(planned: bool, sharded: bool) -> None:
    """Shards on every rank; whole tensors on the first rank alone."""
    for found in run_on_ranks(2, "lightning.trainer:state_dicts", planned=planned, sharded=sharded):
        has = sharded or found["rank"] == 0
        assert found["names"] == has
        assert found["empty"] == [not has, not has]
        assert found["whole"] == (not sharded)


@BOTH
def test_files_to_and_from_unsplit_models(planned: bool, tmp_path: Path) -> None:
    for found in run_on_ranks(2, "lightning.trainer:file_round_trip", planned=planned, folder=str(tmp_path)):
        assert found["regular"] == 0
        if found["rank"] == 0:
            assert found["file"]
            assert found["restored"]
            assert found["states"] == found["states again"] == 0


@BOTH
def test_a_folder_of_shards(planned: bool, tmp_path: Path) -> None:
    for found in run_on_ranks(
        2, "lightning.trainer:sharded_checkpoint", planned=planned, folder=str(tmp_path)
    ):
        assert found["files"] == [".metadata", "__0_0.distcp", "__1_0.distcp", "meta.pt"]
        assert found["keys"] == ["hyper_parameters", "pytorch-lightning_version"]
        assert found["callbacks"] == 1
        assert found["started"] == [True]
        assert found["losses"] < NEAR
        assert found["weights"] < NEAR


# ---- what a plan adds ------------------------------------------------------------------------


def as_one_process(found: dict[str, Any], mesh: list[int]) -> None:
    """It was trained on that mesh, to what one process gives."""
    assert found["losses"] < NEAR
    assert found["weights"] < NEAR
    assert found["mesh"] == mesh
    assert found["name"] == "ModelParallelStrategy"


@pytest.mark.parametrize("how", ["beside", "path", "text", "data"])
def test_the_plan_is_found(how: str, tmp_path: Path) -> None:
    """`strategy="plan"`: the model's attribute, else the file beside its own."""
    for found in run_on_ranks(2, "lightning.plan_discovery:discovered_plan", folder=str(tmp_path), how=how):
        as_one_process(found, [1, 2])


def test_no_plan_is_found(tmp_path: Path) -> None:
    first, second = run_on_ranks(
        2, "lightning.plan_discovery:discovered_plan", folder=str(tmp_path), how="none"
    )
    assert first["reasons"] == ["Mine has no attribute 'plan', and there is no mine.plan next to it"]
    assert first["message"].count(first["reasons"][0]) == 1
    assert second["message"] == ""


@pytest.mark.parametrize("how", ["path", "data"])
def test_the_command_line(how: str, tmp_path: Path) -> None:
    """LightningCLI and a YAML file: plan, options, inputs and a timeout."""
    for found in run_on_ranks(2, "lightning.plan_discovery:lightning_cli", folder=str(tmp_path), how=how):
        as_one_process(found, [1, 2])
        assert found["timeout"] == 120
        assert found["up"], "the plan's option was not heard"


@pytest.mark.parametrize(
    ("by", "kind"), [("torchrun", "TorchElasticEnvironment"), ("slurm", "SLURMEnvironment")]
)
def test_two_nodes(by: str, kind: str) -> None:
    for found in run_on_ranks(4, "lightning.plan_meshes:launcher", by=by):
        as_one_process(found, [2, 2])
        assert found["environment"] == kind
        assert found["rank"]


HSDP = "dp replicate pod"


@pytest.mark.parametrize(
    ("mesh", "fsdp", "sizes", "both"),
    [
        ("pod=2, dp=2, tp=1", HSDP, {}, [4, 1]),
        ("pod=1, dp=2, tp=2", HSDP, {}, [2, 2]),
        ("pod=2, dp=1, tp=2", HSDP, {}, [2, 2]),
        # The plan leaves an axis open: of the four along data axes, two are the pods'.
        ("pod=2, dp, tp", HSDP, {"data_parallel_size": 4}, [4, 1]),
        ("dp, tp=2", "dp", {}, [2, 2]),
        ("dp, tp=2", "dp", {"data_parallel_size": 2, "tensor_parallel_size": 2}, [2, 2]),
        ("dp", "dp", {}, [4, 1]),
    ],
)
def test_meshes_of_the_plan(mesh: str, fsdp: str, sizes: dict[str, int], both: list[int]) -> None:
    """Lightning sees two axes, whatever the plan has; samples are shared out along all data axes."""
    for rank, found in enumerate(
        run_on_ranks(4, "lightning.plan_meshes:plan_mesh", text=mesh, fsdp=fsdp, sizes=sizes)
    ):
        as_one_process(found, both)
        assert found["sampler"] == {"num_replicas": both[0], "rank": rank // both[1]}


@pytest.mark.parametrize(
    ("mesh", "sizes", "message"),
    [
        ("dp=2, tp=2", {"tensor_parallel_size": 4}, "tensor_parallel_size=4, and the plan has tp=2"),
        ("dp=4, tp=1", {"data_parallel_size": 2}, "data_parallel_size=2, and the plan has dp=4"),
        ("dp", {"tensor_parallel_size": 2}, "tensor_parallel_size=2, and the plan has no such axis"),
        ("dp=2, tp=4", {}, "error[M203]: the mesh has 8 devices, the world 4"),
        ("dp, tp", {"tensor_parallel_size": 3}, "error[M203]: 4 devices do not divide among the axes"),
        ("tp, dp", {"tensor_parallel_size": 2}, "FSDP2 needs them in the order dp, tp"),
    ],
)
def test_sizes_that_contradict(mesh: str, sizes: dict[str, int], message: str) -> None:
    first, *others = run_on_ranks(4, "lightning.plan_meshes:plan_mesh", text=mesh, fsdp="dp", sizes=sizes)
    assert first["message"].count(message) == 1
    assert all(found["message"] == "" for found in others)


def test_a_plan_of_a_part() -> None:
    for found in run_on_ranks(
        2, "lightning.plan_targets:submodule_plan", target="body", inputs=["x=float32[4,8]"]
    ):
        as_one_process(found, [1, 2])


def test_a_trained_layer_before_the_part() -> None:
    for found in run_on_ranks(2, "lightning.plan_targets:part_before_the_target", noisy=False):
        assert found["weights"] < 1e-5


def test_a_layer_outside_of_the_part_that_ranks_compute_differently() -> None:
    for found in run_on_ranks(2, "lightning.plan_targets:part_before_the_target", noisy=True):
        assert any("2 trained parameters outside of 'body'" in reason for reason in found["reasons"])


@pytest.mark.parametrize(
    ("target", "inputs", "codes", "message"),
    [
        (None, ["x=float32[4,8]"], ["F601"] * 3, "planc proves the plan for 'body': plan_target='body'"),
        ("nobody", None, [], "plan_target='nobody': Model has no such submodule; it has body"),
    ],
)
def test_a_plan_of_another_part(
    target: str | None, inputs: list[str] | None, codes: list[str], message: str
) -> None:
    for found in run_on_ranks(2, "lightning.plan_targets:submodule_plan", target=target, inputs=inputs):
        assert found["codes"] == codes
        assert any(message in reason for reason in found["reasons"])
        assert found["same"], "the model was changed"


def test_a_part_beside_the_plan_s() -> None:
    """Split by hand it is trained; unsplit it would drift apart on the data ranks, and is refused."""
    for found in run_on_ranks(4, "lightning.plan_targets:unplanned_part", shard=True):
        assert found["weights"] < NEAR
    for found in run_on_ranks(4, "lightning.plan_targets:unplanned_part", shard=False):
        assert "extra.weight, extra.bias" in found["reasons"][0]


def test_a_model_from_the_meta_device() -> None:
    """To the bit, what the unsplit model has from that seed."""
    for found in run_on_ranks(4, "lightning.plan_training:deferred_init"):
        assert found["weights"] == [0]


@pytest.mark.parametrize("late", [False, True], ids=["made at once", "made in configure_model"])
def test_one_run_after_the_other(late: bool) -> None:
    for found in run_on_ranks(4, "lightning.plan_training:repeated_runs", late=late):
        assert len(found) == 6
        assert {what: far for what, far in found.items() if not far < NEAR} == {}


def test_hyperparameters(tmp_path: Path) -> None:
    for found in run_on_ranks(2, "lightning.plan_training:hyperparameters", folder=str(tmp_path)):
        assert found == {"weights": 0, "rates": [0.5, 0.05]}


def test_several_optimizers(tmp_path: Path) -> None:
    """Manual optimization, clipping, a schedule; and the same from a checkpoint on."""
    for found in run_on_ranks(4, "lightning.plan_training:multiple_optimizers", folder=str(tmp_path)):
        assert len(found) == 4
        assert {what: far for what, far in found.items() if not far < NEAR} == {}


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("refuted", "error[L701]"),
        ("syntax", "error[S002]"),
        ("name", "error[F601]: no module matches body.upp"),
        ("raises", "planc: on rank 2 alone:\nerror[G802]"),
        ("differs", "rank 2"),
        ("weights", "other weights than rank 0: 'body.up.weight' on rank 2"),
    ],
)
def test_a_wrong_plan(where: str, message: str) -> None:
    """One report, on the first rank; all ranks stop with status 1, and the models are as they were."""
    first, *others = run_on_ranks(4, "lightning.plan_targets:rejected_plan", where=where)
    assert first["message"].count(message) == 1
    assert first["message"].endswith("planc: nothing was changed; all 4 ranks stop\n")
    assert first["message"].count("nothing was changed") == 1
    assert [found["message"] for found in others] == [""] * 3
    assert [found["code"] for found in (first, *others)] == [1] * 4
    assert all(found["untouched"] for found in (first, *others))


SCRIPT = """
import torch
import lightning.pytorch as pl
import planc
from planc.lightning import ModelParallelStrategy
from tests.lightning.ranks.models import Model, body_plan, make_trainer

text = planc.to_text(body_plan("body.")).replace("rowwise", "colwise")
if __name__ == "__main__":
    torch.set_num_threads(1)
    make_trainer(ModelParallelStrategy(plan=planc.parse(text)), 2).fit(Model())
"""


def test_a_wrong_plan_in_a_script(tmp_path: Path) -> None:
    """Lightning starts the second process itself: one report, status 1, no traceback, no orphan."""
    (tmp_path / "train.py").write_text(SCRIPT)
    ended = subprocess.run(
        [sys.executable, str(tmp_path / "train.py")], cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False,
        env=environment(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1"),
    )  # fmt: skip
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("error[L701]") == 1
    assert ended.stderr.count("planc: nothing was changed; all 2 ranks stop") == 1
