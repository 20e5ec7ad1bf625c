"""The command line: exit status, streams, formats, flags."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from planc import __version__
from planc.cli import COMMANDS, main

GOOD = "mesh tp\ntensor tp {\n    lm_head   colwise\n}\n"
BAD = "mesh tp\ntensor tp {\n    lm_head   colwis\n}\n"
PLANS = Path(__file__).parents[2] / "plans"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.plan").write_text(GOOD)
    (tmp_path / "bad.plan").write_text(BAD)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        status = main(arguments)
    except SystemExit as stop:  # argparse
        status = int(stop.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


STATUS = [
    ("check good.plan", 0),
    ("check bad.plan", 1),
    ("check good.plan bad.plan", 1),
    ("check nowhere.plan", 2),
    ("check good.plan nowhere.plan", 2),
    ("check .", 2),
    ("check", 2),
    ("check good.plan --tp 0", 2),
    ("check good.plan --tp -1", 2),
    ("check good.plan --tp eight", 2),
    ("check good.plan --tp 99999999999999999999", 2),
    ("check good.plan --mesh tp", 2),
    ("check good.plan --mesh tp=2,tp=2", 2),
    ("check good.plan --mesh tp=2 --tp 4", 2),
    ("check good.plan --mesh tp=4 --tp 4", 0),
    ("check good.plan --set nothing=true", 2),
    ("check good.plan --set nothing", 2),
    ("check good.plan --format xml", 2),
    ("check good.plan --dp 2", 1),
    ("check good.plan --dp 1", 0),
    ("check llama --set sequence_parallel=false --set sequence_parallel=true", 2),
    ("check llama --set sequence_parallel=3", 2),
    ("check llama --set sequence_parallel=false --tp 8 --dp 2", 0),
    ("check llama gpt2 --tp 4 --set sequence_parallel=false", 0),
    ("check llama gpt2 --set sequence_parallel=false", 3),
    ("check llama --tp 8 --model llama-3-70b", 0),
    ("check llama --tp 16", 1),
    ("check llama --tp 8 --model llama-3-8", 2),
    ("check llama --tp 8 --model nowhere.graph.json.gz", 2),
    ("show llama --tp 8 --dp 2 --collectives", 0),
    ("show good.plan --collectives", 2),
    ("fmt --check good.plan", 0),
    ("fmt --check bad.plan", 0),
    ("fmt nowhere.plan", 2),
    ("fmt llama", 2),
    ("fmt --check llama", 2),
    ("check - -", 2),
    ("show good.plan", 0),
    ("show bad.plan", 1),
    ("show nowhere.plan", 2),
    ("convert good.plan --to json", 0),
    ("convert good.plan", 2),
    ("convert nowhere.plan --to json", 2),
    ("schema", 0),
    ("explain N101", 0),
    ("explain unknown-style", 0),
    ("explain n101 S001", 0),
    ("explain Z999", 2),
    ("explain", 2),
    ("explain --list", 0),
    ("chek good.plan", 2),
    ("--version", 0),
    ("--help", 0),
    ("", 2),
]


@pytest.mark.parametrize(("line", "status"), STATUS, ids=[line or "nothing" for line, _ in STATUS])
def test_exit_status(line: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    got, out, err = run(capsys, *line.split())
    assert got == status
    assert "Traceback" not in out + err
    if status == 2 and line:
        assert err.strip(), "wrong usage is explained on standard error"


def test_usage_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "chek")[2] == "planc: there is no command 'chek'; did you mean 'check'?\n"
    assert run(capsys, "check", "nowhere.plan")[2] == "planc: nowhere.plan: no such file or directory\n"
    assert run(capsys, "check", ".")[2] == "planc: .: is a directory\n"
    fault = run(capsys, "check", "llama", "--set", "sequence_paralel=true")[2]
    assert fault == "planc: there is no option 'sequence_paralel'; did you mean 'sequence_parallel'?\n"
    fault = run(capsys, "explain", "unknwn-style")[2]
    assert fault == "planc: there is no code 'unknwn-style'; did you mean 'unknown-style'?\n"


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        status, out, _ = run(capsys, command, "--help")
        assert status == 0
        assert out.startswith(f"usage: planc {command}")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version")[1] == f"planc {__version__}\n"


def test_a_plan_without_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "check", "good.plan", "--tp", "8")
    assert (status, err) == (0, "")
    assert out.startswith("good.plan: checked on tp=8, no issues found\n  not checked, no model is given:\n")


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "check", "-q", "good.plan") == (0, "", "")
    assert "bad.plan: refuted on tp=?: 1 error\n" in run(capsys, "check", "-q", "bad.plan")[1]


def read_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(run(capsys, *arguments)[1])


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    got = read_json(capsys, "check", "good.plan", "bad.plan", "--tp", "8", "--format", "json")
    assert got["version"] == 1
    good, bad = got["results"]
    assert (good["path"], good["plan"], good["mesh"], good["verdict"]) == (
        "good.plan",
        None,
        {"tp": 8},
        "checked",
    )
    assert good["diagnostics"] == []
    assert {"check": "every pattern matches a module", "why": "no model is given"} in good["skipped"]
    assert good["collectives"] == []
    assert bad["verdict"] == "refuted"
    (fault,) = bad["diagnostics"]
    place = {k: fault[k] for k in ("line", "column", "end_line", "end_column")}
    # `colwis` stands at columns 15 to 20; the end is the first column after it.
    assert place == {"line": 3, "column": 15, "end_line": 3, "end_column": 21}
    assert (fault["code"], fault["severity"]) == ("N101", "error")
    assert fault["module"] is None
    assert fault["operation"] is None
    assert fault["fix"]["edits"] == [{**place, "text": "colwise"}]


def test_json_of_unknown_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    (result,) = read_json(capsys, "check", "llama", "--tp", "8", "--format", "json")["results"]
    assert result["mesh"] == {"dp": None, "tp": 8}
    assert {"check": "size of axis dp", "why": "no size is given: --dp N, or --world-size N"} in result[
        "skipped"
    ]
    (result,) = read_json(capsys, "check", "llama", "--tp", "8", "--world-size", "64", "--format", "json")[
        "results"
    ]
    assert result["mesh"] == {"dp": 8, "tp": 8}


def test_sarif(capsys: pytest.CaptureFixture[str]) -> None:
    log = read_json(capsys, "check", "bad.plan", "--format", "sarif")
    assert log["version"] == "2.1.0"
    (result,) = log["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == ("N101", "error")
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "bad.plan"
    assert place["region"] == {"startLine": 3, "startColumn": 15, "endLine": 3, "endColumn": 21}
    (replacement,) = result["fixes"][0]["artifactChanges"][0]["replacements"]
    assert replacement["insertedContent"] == {"text": "colwise"}
    assert [rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]] == ["N101"]


def test_github(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    _, out, _ = run(capsys, "check", "bad.plan", "--format", "github")
    assert out == (
        "::error file=bad.plan,line=3,col=15,endLine=3,endColumn=21,title=planc N101 (unknown-style)"
        "::there is no style 'colwis': no such style%0Aneeded: colwise, packed_colwise, replicate, "
        "rowwise, sequence%0Ahelp: did you mean 'colwise'?\n"
    )
    (folder / "50%,a.plan").write_text(BAD)
    _, out, _ = run(capsys, "check", "50%,a.plan", "--format", "github")
    assert "file=50%25%2Ca.plan," in out


def test_what_a_model_shows_is_in_every_format(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """The module and the operation are no notes, and no format leaves them out."""
    (folder / "split.plan").write_text("mesh tp\ntensor tp {\n    lm_head   colwise\n}\n")
    flags = ("check", "split.plan", "--tp", "8", "--model", "llama-3-8b", "--format")
    found = read_json(capsys, *flags, "json")["results"][0]["diagnostics"]
    (fault,) = (each for each in found if each["code"] == "L710")
    assert fault["operation"]
    assert f"operation: {fault['operation']}%0A" in run(capsys, *flags, "github")[1]
    texts = [result["message"]["text"] for result in read_json(capsys, *flags, "sarif")["runs"][0]["results"]]
    assert any(f"\noperation: {fault['operation']}\n" in text for text in texts)


def test_a_model_that_a_plan_names_in_vain(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """The fault stands at the line of the plan, whatever its form."""
    (folder / "lost.plan").write_text(
        'plan lost\nmodel "lost.graph.json"\nmesh tp=2\ntensor tp { a   colwise }\n'
    )
    status, out, err = run(capsys, "check", "lost.plan")
    assert (status, out) == (2, "")
    assert " --> lost.plan:2:8\n" in err
    (folder / "lost.yaml").write_text(run(capsys, "convert", "lost.plan", "--to", "yaml")[1])
    assert " --> lost.yaml:2:8\n" in run(capsys, "check", "lost.yaml")[2]
    (folder / "below").mkdir()
    (folder / "lost.plan").rename(folder / "below" / "lost.plan")
    (folder / "over.plan").write_text('extends "below/lost.plan"\n')
    message = run(capsys, "check", "over.plan")[2]
    assert f"below{os.sep}lost.graph.json: no such file" in message, (
        "a file lies beside the plan that names it"
    )
    (folder / "near.plan").write_text('model "llama-3-9b"\nmesh tp=2\ntensor tp { a   colwise }\n')
    status, out, _ = run(capsys, "check", "near.plan")
    assert status == 1
    assert "planc ships no graph 'llama-3-9b'\n --> near.plan:1:7\n" in out
    assert "help: did you mean 'llama-3-8b'?" in out


def test_fix_writes_what_the_user_named(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a shipped plan, not standard input, and no file that is not to be written."""
    assert run(capsys, "check", "-", "--fix")[::2] == (
        2,
        "planc: --fix writes files, and standard input is not a file\n",
    )
    before = (PLANS / "llama.plan").read_text()
    status, _, err = run(capsys, "check", "llama", "--tp", "8", "--model", "qwen3-8b", "--fix")
    assert status == 1
    assert "llama.plan: shipped with planc, so --fix does not change it\n" in err
    assert (PLANS / "llama.plan").read_text() == before
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        status, out, err = run(capsys, "check", "bad.plan", "--fix")
    assert (status, err) == (2, "planc: bad.plan: permission denied\n")
    assert "bad.plan: refuted" in out
    assert (folder / "bad.plan").read_text() == BAD
    assert run(capsys, "check", "bad.plan", "--fix", "--tp", "2")[0] == 0


def test_a_plan_that_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    for given, meant in (("llma", "llama"), ("good", "good.plan"), ("godo.plan", "good.plan")):
        message = f"planc: {given}: no such file or directory; did you mean '{meant}'?\n"
        assert run(capsys, "check", given)[2] == message


def test_collectives_of_an_axis_without_a_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        "tp: unknown, because the axis has no size: --tp N\n"
        in run(capsys, "show", "llama", "--collectives")[1]
    )
    out = run(capsys, "show", "phi3", "--collectives", "--tp", "2")[1]
    assert " llama.plan:26 " in out, "a line of another file has its name"


def test_schema_accepts_the_data_form_of_every_plan(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(run(capsys, "schema")[1])
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for plan in sorted(PLANS.glob("*.plan")):
        data = json.loads(run(capsys, "convert", str(plan), "--to", "json")[1])
        jsonschema.validate(data, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"blocks": [{"kind": "tensor", "axis": "tp", "rulez": []}]}, schema)


def test_schema_describes_fields(capsys: pytest.CaptureFixture[str]) -> None:
    definitions = json.loads(run(capsys, "schema")[1])["$defs"]
    assert definitions["Rule"]["properties"]["output"]["description"].startswith("The layout that leaves")
    assert definitions["FsdpBlock"]["description"] == "FSDP2 on one axis; with `replicate`, HSDP."


@pytest.mark.parametrize("form", ["text", "json", "yaml"])
def test_convert_there_and_back(form: str, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    ending = {"text": "plan"}.get(form, form)
    text = run(capsys, "convert", "llama", "--to", form)[1]
    (folder / f"again.{ending}").write_text(text)
    assert run(capsys, "convert", f"again.{ending}", "--to", "text") == run(
        capsys, "convert", "llama", "--to", "text"
    )
    flags = ("--tp", "8", "--model", "none", "--format", "json")
    converted = read_json(capsys, "check", f"again.{ending}", *flags)["results"][0]
    first = read_json(capsys, "check", "llama", *flags)["results"][0]
    assert {**converted, "path": ""} == {**first, "path": ""}


def test_show_settles_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "show", "llama", "--tp", "8", "--set", "sequence_parallel=false")
    assert "mesh dp=? x tp=8" in out
    assert "option sequence_parallel = false" in out
    assert "model.layers.*.self_attn.{q,k,v}_proj   colwise" in out
    assert "rowwise   -> replicate" in out
    assert "layernorm" not in out, "the norms' rules hold only when sequence_parallel"


def test_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(BAD.encode())

    monkeypatch.setattr(sys, "stdin", Stdin)
    status, out, _ = run(capsys, "check", "-")
    assert status == 1
    assert " --> <stdin>:3:15\n" in out


def test_every_place_is_in_every_format(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """A diagnostic of two places says both, whoever reads it."""
    (folder / "two.plan").write_text("mesh tp\ntensor tp {\n    a   colwise\n    a   rowwise\n}\n")
    (fault,) = read_json(capsys, "check", "two.plan", "--format", "json")["results"][0]["diagnostics"]
    assert (fault["line"], [other["line"] for other in fault["others"]]) == (4, [3])
    log = read_json(capsys, "check", "two.plan", "--format", "sarif")
    (related,) = log["runs"][0]["results"][0]["relatedLocations"]
    assert related["physicalLocation"]["region"]["startLine"] == 3
    assert "%0Asee: two.plan:3: the first" in run(capsys, "check", "two.plan", "--format", "github")[1]


def test_json_on_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(json.dumps({"mesh": {"axes": [{"name": "tp"}]}}).encode())

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert "no block uses axis 'tp'" in run(capsys, "check", "-")[1]


def test_a_base_that_cannot_be_read_is_one_fault(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """What the base may declare is not held against the plan, and is listed as skipped."""
    (folder / "over.plan").write_text(
        'extends "nope.plan"\noverride option fast = true\n'
        "tensor tp {\n    remove a\n    override b   rowwise -> stream   when fast\n}\n"
    )
    (result,) = read_json(capsys, "check", "over.plan", "--tp", "2", "--format", "json")["results"]
    assert [fault["code"] for fault in result["diagnostics"]] == ["E501"]
    assert {"check": "override nothing", "why": "the plan to extend cannot be read"} in result["skipped"]
