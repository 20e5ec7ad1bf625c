"""`planc verify`: right plans are right, and mistakes that nothing else reports are found in the tensors that
they spoil."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from planc.ir.laws import LAWS
from tests.judge.families import FAMILIES
from tests.rank_pool import ROOT
from tests.torch.verify.verify_process import CommandResult, verify

NETS = f"{ROOT / 'tests' / 'torch' / 'verify' / 'verify_models.py'}"
NOT_PROVED = next(law.code for law in LAWS if law.name == "not-proved")
MLP = "mesh tp\ntensor tp {\n    up    colwise\n    down  rowwise\n}\n"


def run_verify(folder: Path, plan: str, *arguments: str) -> CommandResult:
    (folder / "my.plan").write_text(plan, encoding="utf-8")
    return verify(folder, "my.plan", "--format", "json", *arguments)


def wrong(result: CommandResult, *kinds: str) -> list[str]:
    """The names of what is wrong, of these kinds, the worst first."""
    return [row["name"] for row in result.data["rows"] if not row["ok"] and row["kind"] in kinds]


class Mistake(NamedTuple):
    """A plan that runs without a message, and what it spoils."""

    family: str
    lines: str
    spoiled: str
    """What the name of the worst tensor of these kinds looks like."""
    kinds: tuple[str, ...] = ("gradient",)
    settings: str = ""


MISTAKES = {
    "norms forgotten": Mistake(
        "llama", "remove block.{input,post_attention}_layernorm", r"layers\.\d\.\w+_layernorm\.weight"
    ),
    "norms of heads forgotten": Mistake(
        "qwen3", "remove block.self_attn.{q,k}_norm", r"self_attn\.[qk]_norm\.weight"
    ),
    "fused as one": Mistake("phi3", "override block.mlp.gate_up_proj colwise", r"logits", ("output", "loss")),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_silent_mistakes(name: str, tmp_path: Path) -> None:
    mistake = MISTAKES[name]
    plan = f"extends {mistake.family}\ntensor tp {{\n    {mistake.lines}\n}}\n"
    reference = FAMILIES[mistake.family].reference
    result = run_verify(tmp_path, plan, "--model", reference, "--full", "--tp", "2", "--dp", "1")
    assert result.status == 1, result
    assert result.data["verdict"] == "wrong"
    assert re.search(mistake.spoiled, wrong(result, *mistake.kinds)[0])
    is_of_gradients = mistake.kinds == ("gradient",)
    assert bool(wrong(result, "output", "loss")) is not is_of_gradients
    if is_of_gradients:  # and of no other parameters
        assert all(re.search(mistake.spoiled, spoiled) for spoiled in wrong(result, "gradient"))
    assert result.data["refuted"], "planc says so as well"


def test_a_right_plan_on_two_axes(tmp_path: Path) -> None:
    reference = FAMILIES["llama"].reference
    result = run_verify(tmp_path, "extends llama\n", "--model", reference, "--full", "--tp", "2", "--dp", "2")
    assert (result.status, result.data["verdict"]) == (0, "right"), result
    runs = {run["run"]: run for run in result.data["runs"]}
    assert set(runs) == {"plain", "padded", "another shape", "odd length"}
    assert runs["odd length"]["refused"]
    assert "needed" in runs["odd length"]["raised"]
    names = {
        row["name"] for row in result.data["rows"] if row["kind"] == "gradient" and row["run"] == "plain"
    }
    assert len(names) == 21  # 2 layers of 9 parameters, an embedding, a norm and a head
    rules = {row["name"]: row["rule"] for row in result.data["rows"] if row["kind"] == "gradient"}
    rule = rules["model.layers.1.mlp.down_proj.weight"]
    assert rule["text"] == "block.mlp.down_proj rowwise -> stream"
    line = Path(rule["path"]).read_text(encoding="utf-8").splitlines()[rule["line"] - 1]
    assert line.split() == rule["text"].split()


def test_a_smaller_model_is_run(tmp_path: Path) -> None:
    result = run_verify(tmp_path, "extends llama\n", "--model", "llama-3-8b", "--tp", "2", "--dp", "1")
    assert result.status == 0, result
    assert any("num_hidden_layers 32 -> 2" in note for note in result.data["notes"])
    assert "num_hidden_layers=2" in result.data["model"]


FATES = {
    "mlp": (0, None),
    "spectral": (0, None),
    "raises": (1, "IndexError: index 7 is out of bounds"),
    "dies": (1, "the process has died"),
    "hangs": (1, "did not end within 1 s"),
}


@pytest.mark.parametrize("net", FATES)
def test_ranks_that_end_otherwise(net: str, tmp_path: Path) -> None:
    status, raised = FATES[net]
    result = run_verify(
        tmp_path,
        MLP,
        "--model",
        f"{NETS}:{net}",
        "--tp",
        "2",
        "--timeout",
        "1" if net == "hangs" else "20",
    )
    assert result.status == status, result
    if raised is not None:
        assert result.data["runs"][0]["raised"].startswith(raised)
        assert not result.data["runs"][0]["refused"]
        assert result.data["rows"] == []


def test_what_is_not_proved_may_be_right(tmp_path: Path) -> None:
    result = run_verify(tmp_path, MLP, "--model", f"{NETS}:spectral", "--tp", "2")
    assert result.status == 0, result
    assert [line[:4] for line in result.data["refuted"]] == [NOT_PROVED]


DROPS = "mesh dp, tp\ntensor tp {\n    mlp.up    colwise\n    mlp.down  rowwise\n%s}\nfsdp dp { root }\n"
IN_PARTS = "    norm  inputs(0: replicate -> shard(1)) outputs(0: shard(1) -> replicate)\n"


@pytest.mark.parametrize("data", [1, 2])
def test_means_of_draws(data: int, tmp_path: Path) -> None:
    """Dropout on split values differs from the unsplit model's by design; its mean does not."""
    mesh = ("--tp", "2", "--dp", str(data), "--dropout")
    result = run_verify(tmp_path, DROPS % "", "--model", f"{NETS}:dropping", *mesh)
    assert result.status == 0, result
    assert {row["name"] for row in result.data["rows"] if row["kind"] == "gradient"} == {
        "norm.weight", "norm.bias", "mlp.up.weight", "mlp.up.bias", "mlp.down.weight",
    }  # fmt: skip
    # Numbers of two times 32 draws: what is exactly equal was not drawn.
    assert min(row["error"] for row in result.data["rows"]) > 0.1
    assert result.data["limit"] == 6


def test_ranks_that_disagree(tmp_path: Path) -> None:
    """A gradient that stays in parts differs between the ranks, however it is drawn."""
    mesh = ("--tp", "2", "--dp", "1", "--dropout")
    result = run_verify(tmp_path, DROPS % IN_PARTS, "--model", f"{NETS}:dropping", *mesh)
    assert result.status == 1, result
    assert set(wrong(result, "gradient")) == {"norm.weight", "norm.bias"}
    assert {row["note"] for row in result.data["rows"] if not row["ok"]} == {
        "differs between ranks of a tensor group"
    }


USAGE = {
    "no such plan": (["other.plan"], "other.plan"),
    "no such model": (["my.plan", "--model", "hf:NoSuchModel"], "NoSuchModel"),
    "no model": (["my.plan"], "no model is named"),
    "too many ranks": (["my.plan", "--model", f"{NETS}:mlp", "--tp", "32"], "at most 16"),
    "no such option": (["my.plan", "--model", f"{NETS}:mlp", "--set", "fast=true"], "fast"),
    "two sizes": (["my.plan", "--tp", "2", "--mesh", "tp=4"], "two sizes"),
    "another model": (["llama", "--model", f"{NETS}:mlp", "--tp", "2", "--dp", "1"], ""),
}


@pytest.mark.parametrize("name", USAGE)
def test_wrong_usage(name: str, tmp_path: Path) -> None:
    arguments, words = USAGE[name]
    (tmp_path / "my.plan").write_text(MLP, encoding="utf-8")
    result = verify(tmp_path, *arguments)
    assert result.status == 2, result
    assert words in result.err


def test_a_plan_that_cannot_be_read(tmp_path: Path) -> None:
    result = run_verify(tmp_path, "mesh tp\ntensor tp {\n", "--model", f"{NETS}:mlp", "--tp", "2")
    assert result.status == 1
    assert "error[S" in result.err
    assert result.out == ""


def test_the_page(tmp_path: Path) -> None:
    """The example of docs/verify.md is what the command says."""
    page = (ROOT / "docs" / "verify.md").read_text(encoding="utf-8")
    plan = re.search(r"```plan file=norms.plan\n(.*?)```", page, re.DOTALL)
    shown = re.search(r"```text\n\$ planc (verify norms.plan [^\n]*)\n(.*?)```", page, re.DOTALL)
    assert plan is not None
    assert shown is not None
    (tmp_path / "norms.plan").write_text(plan[1], encoding="utf-8")
    result = verify(tmp_path, *shown[1].split()[1:])
    assert result.status == 1, result
    assert _stable(result.out) == _stable(shown[2])


def _stable(text: str) -> list[str]:
    """Lines without their errors, whose last digits are the machine's; and without what hangs on them: the order,
    and which run is the worst of a tensor."""
    lines = [re.sub(r"^ *[\d.,]+(e\+\d+)?  ", "", " ".join([*line.split()])) for line in text.splitlines()]
    lines = [re.sub(r"^[\d.,]+ ", "", line) for line in lines if line]
    return sorted(re.sub(r"^(wrong \w+ \S+) (plain|padded|another shape) ", r"\1 ", line) for line in lines)


def test_json_is_as_the_page_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "verify.md").read_text(encoding="utf-8")
    result = run_verify(tmp_path, MLP, "--model", f"{NETS}:mlp", "--tp", "2")
    rows = {key for row in result.data["rows"] for key in row}
    for key in {*result.data, *rows, *result.data["runs"][0], *_keys(result.data["rows"])}:
        assert f"`{key}`" in page, key
    assert json.loads(result.out)["version"] == 1


def _keys(rows: list[dict[str, Any]]) -> set[str]:
    return {key for row in rows if row["rule"] for key in row["rule"]}
