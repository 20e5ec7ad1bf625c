"""What the proof does not cover: planc says so, and calls none of it right."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import planc  # noqa: E402
from planc.graph.capture_error import CaptureError  # noqa: E402
from planc.ir.laws import LAWS  # noqa: E402
from planc.ir.source import Source  # noqa: E402
from planc.torch.capture.from_reference import capture_target  # noqa: E402
from planc.torch.capture.trace import CaptureTarget  # noqa: E402
from tests.proof.unsupported_modules import PLAN, WIDTH, UnsupportedModel, UnsupportedRow, table_rows  # noqa: E402
from tests.rank_pool import ROOT  # noqa: E402
from tests.torch.verify.verify_process import verify  # noqa: E402

ROWS = {row.name: row for row in table_rows()}
WITHIN = {
    "y = y.relu() * 2.0": "proved",
    "self.last_seen = y": "proved",
    "y = torch.utils.checkpoint.checkpoint(torch.relu, y, use_reentrant=False)": "proved",
    "self.seen = self.seen + 1.0": "proved",
    "self.seen = y.detach().mean()": "refuted",
    "self.seen = y.detach().square().sum()": "refuted",
    "self.seen.data = y.detach().mean()": "refuted",
    "y.data = y.detach().softmax(-1)": "refuted",
    "y = self.rnn(y)": "refuted",
}
"""Code of the same kinds that planc follows, and the verdict on it, as the first line of the section says."""


def verdict_and_codes(row: UnsupportedRow) -> tuple[str, set[str]]:
    """The verdict on a row, and the codes of what is said."""
    subject = CaptureTarget(
        "outside", UnsupportedModel(row), (torch.empty(4, WIDTH),), {}, {}, {"torch": "2"}
    )
    try:
        graph = capture_target(subject, Source("MODEL", "outside"))
    except CaptureError as fault:
        return "not captured", {fault.diagnostic.law.code}
    result = planc.check(planc.parse(PLAN), tp=2, model=graph)
    return str(result.verdict), {found.law.code for found in result.diagnostics}


@pytest.mark.parametrize("code", WITHIN)
def test_what_is_within_the_claim_is_judged(code: str) -> None:
    assert verdict_and_codes(UnsupportedRow("within", code, False, "", ""))[0] == WITHIN[code]


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_said_as_the_page_has_it(name: str) -> None:
    row = ROWS[name]
    assert verdict_and_codes(row) == (row.verdict, {row.law})


def test_the_rows_have_names_and_laws() -> None:
    assert len(ROWS) == len(table_rows())
    assert {row.law for row in ROWS.values()} <= {law.code for law in LAWS}


@pytest.mark.parametrize("name", [row.name for row in table_rows() if row.wrong])
def test_it_is_not_idle_caution(name: str, tmp_path: Path) -> None:
    """The numbers of two ranks differ from those of the whole model."""
    (tmp_path / "my.plan").write_text(PLAN, encoding="utf-8")
    model = f"{ROOT / 'tests' / 'proof' / 'unsupported_modules.py'}:{name}"
    found = verify(tmp_path, "my.plan", "--format", "json", "--model", model, "--tp", "2")
    assert (found.status, found.data["verdict"]) == (1, "wrong"), found
