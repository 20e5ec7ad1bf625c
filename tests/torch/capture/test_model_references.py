"""What a model is called on the command line, and what is said of what is none."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from planc.cli import main
from planc.graph.capture_error import CaptureError
from planc.graph.graph_reader import read_graph_file
from planc.graph.load_graph import load_graph
from planc.ir.graph import Op
from tests.torch.capture.transformers_models import reference

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

CODE = """
import torch
from torch import nn

class Doubled(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, mask=None, *, scale=1):
        y = self.linear(x) * 2
        return y if mask is None else y * mask

class Looks(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.inner = Inner(how)

    def forward(self, x):
        return self.inner(x)

class Inner(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        return self.how(x)

def build(): return Doubled()
def with_tensor(): return Doubled(), torch.empty(2, 4)
def with_tuple(): return Doubled(), (torch.empty(2, 4), torch.empty(2, 1))
def with_dict(): return Doubled(), {"x": torch.empty(2, 4), "mask": torch.empty(2, 1)}
def on_cpu():
    model = Doubled()
    model.linear.weight.data[0, 0].item()
    return model, torch.zeros(2, 4, device="cpu")
def no_model(): return 3
def no_inputs(): return Doubled(), 3
def raises(): raise KeyError("a key of the user's")
def leaves(): raise SystemExit(3)
def item(): return Looks(lambda x: x * x.sum().item()), torch.empty(2, 4)
def branch(): return Looks(lambda x: x if x.sum() > 0 else -x), torch.empty(2, 4)
def listed(): return Looks(lambda x: x * x[0].tolist()[0]), torch.empty(2, 4)
def masked(): return Looks(lambda x: x[x > 0]), torch.empty(2, 4)
def nonzero(): return Looks(lambda x: x.nonzero()), torch.empty(2, 4)
def broken(): return Looks(lambda x: x @ x), torch.empty(2, 4)
def lazy(): return nn.LazyLinear(3), torch.empty(2, 4)
def sparse():
    model = Doubled()
    model.table = [torch.ones(2, 2, device="cpu").to_sparse()]
    return model, torch.empty(2, 4)
constant = 3

def __getattr__(name):
    if name == "late":
        import a_module_that_is_missing
    raise AttributeError(name)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the user's code in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLANC_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "own.py").write_text(CODE)
    (tmp_path / "bad.py").write_text("import torch\nraise ValueError('while it is read')\n")
    (tmp_path / "needs.py").write_text("import a_module_that_is_missing\n")
    return tmp_path


@pytest.mark.parametrize("name", ["with_tensor", "with_tuple", "with_dict", "on_cpu"])
def test_a_factory_gives_a_model_and_inputs(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["capture", f"own.py:{name}"]) == 0
    out, err = capsys.readouterr()
    size = (folder / f"{name}.graph.json.gz").stat().st_size
    expected = {"with_tuple": 3, "with_dict": 3}.get(name, 2)
    assert (out, err) == (
        f"{name}.graph.json.gz: 2 modules, 20 parameters, {expected} operations, {size:,} bytes\n", ""
    )  # fmt: skip
    graph = read_graph_file(f"{name}.graph.json.gz")
    assert graph.model == f"own.py:{name}"
    assert set(graph.versions) == {"torch"}
    keys = {"with_tuple": ["0", "1"], "with_dict": ["x", "mask"]}.get(name, ["0"])
    assert list(graph.inputs) == keys


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        (["--input", "x=float32[3,4]"], {"x": (3, 4)}),
        (["--input", "0=float32[3,4]", "--input", "mask=float32[3,1]"], {"0": (3, 4), "mask": (3, 1)}),
        (["--input", "1=float32[]", "--input", "0=float32[5,4]"], {"0": (5, 4), "1": ()}),
    ],
)
def test_inputs_of_the_command_line(folder: Path, given: list[str], inputs: dict[str, Any]) -> None:
    assert main(["capture", "own:build", *given, "-o", "x.graph.json"]) == 0
    assert {name: info.shape for name, info in read_graph_file("x.graph.json").inputs.items()} == inputs
    assert json.loads(Path("x.graph.json").read_text("utf-8"))["planc_graph"]


def test_an_input_replaces_an_example(folder: Path) -> None:
    assert main(["capture", "own:with_tensor", "--input", "x=float32[3,4]", "-o", "x.graph.json"]) == 0
    assert {n: i.shape for n, i in read_graph_file("x.graph.json").inputs.items()} == {"0": (3, 4)}


LLAMA = "hf:LlamaForCausalLM"
SMALL_OSS = (
    "hidden_size=64&intermediate_size=64&num_hidden_layers=2&num_attention_heads=4&num_key_value_heads=2"
    "&head_dim=16&vocab_size=256&num_local_experts=4"
)
WRONG = [
    ("own.py:no_model", [], "G802", ["does not return a model", "got: int"]),
    ("own.py:no_inputs", [], "G802", ["does not return a model", "a tuple of Doubled, int"]),
    ("own.py:raises", [], "G802", ['KeyError: "a key of the user\'s"', "own.py:", "in raises"]),
    ("own.py:leaves", [], "G802", ["SystemExit: 3"]),
    ("own.py:item", [], "G802", ["inner (Inner)", "operation: item", "torch.where", "own.py:"]),
    ("own.py:branch", [], "G802", ["inner (Inner)", "reads the values", "operation: bool"]),
    ("own.py:listed", [], "G802", ["inner (Inner)", "operation: item"]),
    ("own.py:masked", [], "G802", ["inner (Inner)", "operation: __getitem__"]),
    ("own.py:nonzero", [], "G802", ["inner (Inner)", "operation: nonzero"]),
    ("own.py:broken", [], "G802", ["inner (Inner)", "operation: matmul", "own.py:"]),
    ("own.py:lazy", [], "G802", ["raised: "]),
    ("own.py:sparse", [], "G802", ["a tensor of layout torch.sparse_coo is not supported"]),
    ("bad.py:build", [], "G802", ["while it is read", "bad.py:2"]),
    ("needs:build", [], "G802", ["a_module_that_is_missing"]),
    ("own.py:biuld", [], "G803", ["did you mean 'build'?"]),
    ("own:constant", [], "G803", ["is not callable"]),
    ("own.py:late", [], "G802", ["'late' cannot be imported", "No module named 'a_module_that_is_missing'"]),
    ("none.py:build", [], "G803", ["no such file"]),
    ("none.at.all:build", [], "G803", ["there is no module 'none'"]),
    ("own", [], "G803", ["does not name a model"]),
    ("", [], "G803", ["does not name a model"]),
    ("own.py:build()", [], "G803", ["does not name a model"]),
    ("own.py:build", [], "G804", ["does not accept these inputs", "'x'"]),
    ("own.py:build", ["y=float32[2,4]"], "G804", ["takes no input 'y'", "one of x, mask"]),
    ("own.py:build", ["msk=float32[2,4]"], "G804", ["did you mean 'mask'?"]),
    ("own.py:build", ["x=flot32[2,4]"], "G804", ["no dtype 'flot32'", "did you mean 'float32'?"]),
    ("own.py:build", ["x=float32"], "G804", ["not a tensor", "int64[4,384]"]),
    ("own.py:build", ["x=float32[2,-4]"], "G804", ["not a tensor"]),
    ("own.py:build", ["x=int64[2,4]*"], "G804", ["not a tensor"]),
    ("own.py:build", ["x=float32[999999999,999999999]"], "G804", ["larger than any"]),
    ("own.py:build", ["x"], "G804", ["not an input"]),
    ("own.py:build", ["x=float32[2,4]", "x=float32[2,4]"], "G804", ["given twice"]),
    ("own.py:build", ["1=float32[2,4]"], "G804", ["no input 0 before"]),
    ("own.py:build", ["x=float32[2,3]"], "G802", ["linear (Linear)", "operation: linear"]),
    ("hf:LlamaForCausalLLM", [], "G803", ["did you mean 'LlamaForCausalLM'?"]),
    ("hf:llamaforcausallm", [], "G803", ["did you mean 'LlamaForCausalLM'?"]),
    ("hf:AutoModel", [], "G803", ["not a model class"]),
    ("hf:LlamaConfig", [], "G803", ["not a model class"]),
    ("hf:meta-llama/Llama-3.1-8B", [], "G803", ["fetches nothing"]),
    ("hf:", [], "G803", ["is not the name of a class"]),
    (f"{LLAMA}?attn_implementation=flash", [], "G803", ["cannot capture 'flash'", "sdpa or eager"]),
    (f"{LLAMA}?attn_implementation=egaer", [], "G803", ["did you mean 'eager'?"]),
    ("hf:GptOssForCausalLM?attn_implementation=sdpa", [], "G803", ["does not support", "sdpa"]),
    (f"{LLAMA}?hiden_size=3", [], "G803", ["did you mean 'hidden_size'?"]),
    (f"{LLAMA}?hidden_size=x", [], "G803", ["a whole number"]),
    (f"{LLAMA}?use_cache=3", [], "G803", ["true or false"]),
    (f"{LLAMA}?rms_norm_eps=nan", [], "G803", ["a number"]),
    (f"{LLAMA}?hidden_size", [], "G803", ["NAME=VALUE"]),
    (f"{LLAMA}?hidden_size=8&hidden_size=8", [], "G803", ["set twice"]),
    (f"{LLAMA}?text_config.hidden_size=8", [], "G803", ["no setting 'text_config.hidden_size'"]),
    (f"{LLAMA}?_name_or_path=x", [], "G803", ["no setting"]),
    (f"{LLAMA}?num_attention_heads=7", [], "G80", ["hf:LlamaForCausalLM"]),
    (f"{LLAMA}?num_hidden_layers=1", ["tokens=int64[1,4]"], "G80", []),
    ("hf:none.json", [], "G803", ["no such file"]),
    ("hf:text.json", [], "G803", ["is not a configuration"]),
    ("hf:list.json", [], "G803", ["is not a configuration"]),
    ("hf:empty.json", [], "G803", ["does not name a class"]),
    ("hf:auto.json", [], "G803", ["its own code", "never runs them"]),
    ("hf:unknown.json", [], "G803", ["no class 'LlamaForCausalX'", "did you mean 'LlamaForCausalLM'?"]),
    ("hf:odd.json", [], "G803", ["raised: "]),
    ("none.graph.json.gz", [], "G801", ["no such file"]),
    ("cut.graph.json.gz", [], "G801", ["ends too early", "capture the model again"]),
    ("old.graph.json", [], "G801", ["has version 0"]),
    ("folder.graph.json", [], "G801", ["is a directory"]),
    ("nul\0.graph.json", [], "G801", ["not a valid file name"]),
]


def write_files(folder: Path) -> None:
    (folder / "text.json").write_text("{")
    (folder / "list.json").write_text("[]")
    (folder / "empty.json").write_text("{}")
    llama = {"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 1}
    for name, more in (
        ("auto", {"auto_map": {"AutoModel": "code.Model"}}),
        ("unknown", {"architectures": ["LlamaForCausalX"]}),
        ("odd", {"hidden_size": "many"}),
    ):
        (folder / f"{name}.json").write_text(json.dumps(llama | more))
    (folder / "cut.graph.json.gz").write_bytes(gzip.compress(b"{}" * 99)[:-9])
    (folder / "old.graph.json").write_text('{"planc_graph": 0}')
    (folder / "folder.graph.json").mkdir()


@pytest.mark.parametrize(("model", "inputs", "code", "says"), WRONG)
def test_what_is_wrong_gets_a_diagnostic(
    folder: Path,
    model: str,
    inputs: list[str],
    code: str,
    says: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_files(folder)
    before = sorted(folder.rglob("*"))
    given = [word for text in inputs for word in ("--input", text)]
    assert main(["capture", model, *given, "-o", "new.graph.json.gz"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error[{code}")
    assert "Traceback" not in err
    assert "planc/" not in err
    for words in says:
        assert words in err, err
    assert [p for p in sorted(folder.rglob("*")) if "__pycache__" not in str(p)] == before


@pytest.mark.parametrize(
    ("output", "says"),
    [("x.json", "ends in"), ("none/x.graph.json", "no such"), ("folder.graph.json", "no such")],
)
def test_an_output_that_cannot_be(
    folder: Path, output: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(folder)
    assert main(["capture", "own:with_tensor", "-o", output]) == 2
    assert says in capsys.readouterr().err


def test_a_configuration_on_the_disk(folder: Path) -> None:
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
              "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 99,
              "torch_dtype": "bfloat16", "_attn_implementation": "kernels/of-a-hub"}  # fmt: skip
    (folder / "sub").mkdir()
    (folder / "sub" / "config.json").write_text(json.dumps(config))
    assert main(["capture", "hf:sub/config.json?num_hidden_layers=2"]) == 0
    graph = read_graph_file("config.graph.json.gz")
    assert graph.model == "hf:config.json?num_hidden_layers=2"
    assert (graph.facts["hidden_size"], graph.facts["num_hidden_layers"]) == (64, 2)
    assert {info.dtype for info in graph.parameters.values()} == {"float32"}


def test_a_graph_is_captured_once_and_again_where_it_is_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = reference("LlamaForCausalLM")
    graph = load_graph(name, named_by_plan=True)
    kept = next((folder / "cache").iterdir())
    monkeypatch.setattr("planc.torch.capture.from_reference.capture_reference", None)
    assert load_graph(name) == graph
    with pytest.raises(TypeError):
        load_graph(name, use_cache=False)
    kept.write_bytes(kept.read_bytes()[:-4])
    with pytest.raises(TypeError):
        load_graph(name)
    monkeypatch.undo()
    monkeypatch.setenv("PLANC_CACHE_DIR", str(folder / "cache"))
    assert load_graph(name) == graph
    assert read_graph_file(str(kept)) == graph


def test_a_plan_runs_no_code(folder: Path) -> None:
    with pytest.raises(CaptureError, match="names no code"):
        load_graph("own.py:with_tensor", named_by_plan=True)
    assert load_graph("own.py:with_tensor").model == "own.py:with_tensor"
    with pytest.raises(CaptureError, match="is shipped"):
        load_graph("no-such-graph")


def test_a_kept_graph_needs_no_torch(folder: Path) -> None:
    name = reference("LlamaForCausalLM")
    load_graph(name)
    program = (
        "import sys; from planc.graph.load_graph import load_graph; load_graph(sys.argv[1]);"
        "assert not {'torch', 'transformers', 'pydantic', 'importlib.metadata'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, name], check=True)


def operations(reference: str) -> set[str]:
    """The names of the operations of a model."""
    return {
        op.name for function in load_graph(reference).functions for op in function.steps if isinstance(op, Op)
    }


def test_attention_is_sdpa_where_a_class_has_it_else_eager(folder: Path) -> None:
    llama, oss = reference("LlamaForCausalLM"), f"hf:GptOssForCausalLM?{SMALL_OSS}"
    assert "scaled_dot_product_attention" in operations(llama)
    assert "softmax" not in operations(llama)
    eager = operations(f"{llama}&attn_implementation=eager")
    assert "softmax" in eager
    assert "scaled_dot_product_attention" not in eager
    assert "softmax" in operations(oss)


def test_a_broken_import_is_not_a_missing_class(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever breaks inside of transformers, the first cause is reported."""
    import transformers

    def fail_to_import(_name: str) -> Any:
        try:
            import a_module_that_is_missing  # type: ignore[import-not-found]  # noqa: F401
        except ImportError as cause:
            raise ModuleNotFoundError("Could not import module 'LlamaForCausalLM'.") from cause

    monkeypatch.setattr(type(transformers), "__getattr__", lambda _module, name: fail_to_import(name))
    monkeypatch.delitem(vars(transformers), "LlamaForCausalLM", raising=False)
    with pytest.raises(CaptureError) as raised:
        load_graph("hf:LlamaForCausalLM?num_hidden_layers=1", use_cache=False)
    found = raised.value.diagnostic
    assert found.law.code == "G802"
    assert "cannot be imported" in found.message
    assert any("No module named 'a_module_that_is_missing'" in note for note in found.notes)
