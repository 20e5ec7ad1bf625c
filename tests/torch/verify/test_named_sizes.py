"""`planc verify` of plans that name a size: the small model has it too, or nothing is run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from tests.rank_pool import call_in_fork
from tests.torch.verify.verify_process import verify

MODEL = "hf:OPTForCausalLM?hidden_size=96&word_embed_proj_dim=96&ffn_dim=160&num_hidden_layers=2&num_attention_heads=8&vocab_size=300"
PLAN = """\
mesh tp
let layer = model.decoder.layers.*
tensor tp {
    layer.self_attn                  inputs(hidden_states: replicate -> replicate) attributes(num_heads: HEADS)
    layer.self_attn.{q,k,v}_proj     colwise
    layer.self_attn.out_proj         rowwise
}
"""


@pytest.mark.parametrize(
    ("heads", "status", "keeps"),
    [
        ("8 // tp", 0, True),
        ("4", 0, True),
        ("num_attention_heads // tp", 0, False),
        # Right for the usual small model, which has four heads, and wrong for this one.
        ("4 // tp", 1, True),
    ],
)
def test_heads_as_a_number(heads: str, status: int, keeps: bool, tmp_path: Path) -> None:
    (tmp_path / "my.plan").write_text(PLAN.replace("HEADS", heads))
    result = verify(tmp_path, "my.plan", "--model", MODEL, "--tp", "2", "--steps", "1", "--format", "json")
    assert result.status == status, result
    (note,) = [line for line in result.data["notes"] if line.startswith("made smaller")]
    assert ("keeping sizes that the plan names" in note) == keeps
    assert ("num_attention_heads 8 -> 4" in note) == (not keeps)
    assert "hidden_size" in note


@pytest.mark.parametrize(
    ("heads", "verdict", "status"), [("8 // tp", "unjudged", 3), ("4 // tp", "wrong", 1)]
)
def test_nothing_is_run_where_no_small_model_is_alike(
    heads: str, verdict: str, status: int, tmp_path: Path
) -> None:
    (tmp_path / "my.plan").write_text(PLAN.replace("HEADS", heads))
    module = "tests.torch.verify.test_named_sizes"
    found = call_in_fork(f"{module}:verify_with_small_limit", folder=str(tmp_path))
    assert found[0] == status
    report = json.loads(found[1])
    assert (report["verdict"], report["runs"]) == (verdict, [])
    assert "--full runs the full model" in report["reasons"][0]


def verify_with_small_limit(folder: str) -> tuple[int, str, str]:
    """The command where no other model than the usual small one may be run."""
    from planc.torch.verify import choose_model
    from tests.torch.verify.verify_process import run_command

    choose_model.MAX_PARAMETERS = 1
    return run_command(folder, ["my.plan", "--model", MODEL, "--tp", "2", "--format", "json"])
