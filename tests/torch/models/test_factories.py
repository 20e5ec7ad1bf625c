"""Models that a function of the user builds: what cannot be imported, and what torch.compile has wrapped."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from planc.graph.capture_error import CaptureError

pytest.importorskip("torch")

import torch
from torch import nn

import planc
from planc.torch.capture.from_reference import capture_reference
from planc.torch.capture.trace import CaptureTarget, trace

FILES = {
    "pkg/__init__.py": "",
    "pkg/layers.py": "class Layer: ...\n",
    "pkg/model.py": "from pkg.layers import Layer\nfrom .layers import Missing\n",
    "pkg/deep.py": "\nimport pkg.absent\n",
    "pkg/wrong.py": "x = 1\ndef build(:\n",
    "pkg/beside.py": "from layers import Layer\nimport torch\ndef build(): return torch.nn.Identity(), torch.empty(2)\n",
    "asks.py": "import pkg.absent\n",
    "itself.py": "import itself.part\n",
    "lazy.py": "def __getattr__(name):\n    if name == 'build':\n        import absent\n    raise AttributeError(name)\n",
    "torch/own.py": "raise ValueError('in a folder with the name of a library')\n",
}
ERRORS = [
    ("pkg.model:build", ["ImportError: cannot import name 'Missing'", "where: pkg/model.py:2"]),
    ("pkg/model.py:build", ["ImportError: attempted relative import", "where: pkg/model.py:2", "PACKAGE.MODULE:FACTORY"]),
    ("pkg.deep:build", ["ModuleNotFoundError: No module named 'pkg.absent'", "where: pkg/deep.py:2"]),
    ("pkg.wrong:build", ["SyntaxError", "where: pkg/wrong.py:2"]),
    ("pkg/wrong.py:build", ["SyntaxError", "where: pkg/wrong.py:2"]),
    ("asks:build", ["No module named 'pkg.absent'", "where: asks.py:1"]),
    ("itself:build", ["No module named 'itself.part'", "where: itself.py:1"]),
    ("lazy.py:build", ["No module named 'absent'", "where: lazy.py:3 in __getattr__"]),
    ("torch/own.py:build", ["ValueError: in a folder", "where: torch/own.py:1"]),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    modules = {name.partition("/")[0].removesuffix(".py") for name in FILES} - {"torch"} | {"layers"}
    for name in [name for name in sys.modules if name.partition(".")[0] in modules]:
        del sys.modules[name]
    importlib.invalidate_caches()
    return tmp_path


@pytest.mark.parametrize(("reference", "expected"), ERRORS)
def test_an_import_that_fails_is_reported_as_such(folder: Path, reference: str, expected: list[str]) -> None:
    with pytest.raises(CaptureError) as caught:
        capture_reference(reference)
    found = caught.value.diagnostic
    assert found.law.code == "G802"
    assert found.message.endswith("cannot be imported")
    text = "\n".join(found.notes)
    assert [each for each in expected if each not in text] == []


@pytest.mark.parametrize("reference", ["pkg.absent:build", "absent:build"])
def test_a_module_that_nobody_has(folder: Path, reference: str) -> None:
    with pytest.raises(CaptureError) as caught:
        capture_reference(reference)
    assert caught.value.diagnostic.message == f"there is no module '{reference.partition(':')[0]}'"


def test_a_file_imports_what_lies_beside_it(folder: Path) -> None:
    assert capture_reference("pkg/beside.py:build").modules[-1].class_name == "Identity"


class Perceptron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.up(x).relu())


def compiled_in_place() -> nn.Module:
    model = Perceptron()
    model.compile()
    return model


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_model_is_captured_as_the_module_inside() -> None:
    plain = capture_reference(f"{__name__}:plain")
    compiled = capture_reference(f"{__name__}:compiled")
    assert compiled.with_(model="") == plain.with_(model="")
    for model in (compiled_in_place(), Perceptron()):
        assert trace(CaptureTarget("", model, (torch.empty(4, 8),), {}, {}, {})).functions == plain.functions


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_module_inside_of_a_model() -> None:
    model = nn.Sequential(torch.compile(Perceptron()))
    graph = trace(CaptureTarget("", model, (torch.empty(4, 8),), {}, {}, {}))
    assert "0._orig_mod.up" in graph.modules_by_name
    assert planc.check(planc.parse("mesh dp\nfsdp dp { root }\n"), dp=2, model=graph).verdict == "proved"


def plain() -> tuple[nn.Module, torch.Tensor]:
    return Perceptron(), torch.empty(4, 8)


def compiled() -> tuple[object, torch.Tensor]:
    return torch.compile(Perceptron()), torch.empty(4, 8)
