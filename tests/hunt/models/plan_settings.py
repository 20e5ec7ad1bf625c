"""What a mutated model is crossed with: meshes, FSDP units, recomputation, compilation, a split sequence or a full one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

from torch import nn

from planc.ir.blocks import CompileBlock, FsdpBlock, RecomputeBlock
from planc.ir.document import Document
from planc.ir.source import Source
from planc.syntax.read_file import read_source
from planc.syntax.unparse import unparse
from tests.hunt.bases import base_plan, bases
from tests.hunt.models.model_bases import model_base, shapes_in
from tests.mutation.record_edits import replace_fields

MESHES = {1: ({"dp": 1, "tp": 2}, {"dp": 1, "tp": 4}), 2: ({"dp": 2, "tp": 1}, {"dp": 2, "tp": 2})}
"""By the size of dp: the usual mesh, and a larger one."""
LARGE = 0.06
"""The share of the larger ones."""
KNOWN = 40
"""Settings of each base."""
COMPILED = 0.03
"""The share of those that compile the blocks."""


@dataclass(frozen=True)
class PlanSetting:
    """The base's plan on one mesh, with other blocks beside its tensor block."""

    mesh: tuple[tuple[str, int], ...]
    options: tuple[tuple[str, bool], ...]
    units: tuple[str, ...]
    recompute: str
    compiled: str

    @property
    def recompute_kind(self) -> str:
        """`-`, `block`, `child` or `save`."""
        if not self.recompute:
            return "-"
        return "save" if "save(" in self.recompute else "block" if self.recompute.endswith(".*") else "child"

    @property
    def label(self) -> str:
        words = [", ".join(f"{axis} {size}" for axis, size in self.mesh)]
        words += [f"{name}={value}" for name, value in self.options]
        words += [f"fsdp: {'; '.join(self.units)}", f"recompute: {self.recompute or '-'}"]
        return " | ".join([*words, *([f"compile: {self.compiled}"] if self.compiled else [])])


@cache
def plan_document(base: str, setting: PlanSetting) -> Document:
    """The plan of a setting."""
    plan = base_plan(bases()[base])
    blocks = tuple(b for b in plan.blocks if not isinstance(b, FsdpBlock | RecomputeBlock | CompileBlock))
    text = unparse(replace_fields(plan, blocks=blocks))
    text += "\nfsdp dp {\n" + "".join(f"    {unit}\n" for unit in setting.units) + "}\n"
    if setting.recompute:
        text += f"\nrecompute {{\n{_lines(setting.recompute)}}}\n"
    if setting.compiled:
        text += f"\ncompile {{\n    backend: aot_eager\n{_lines(setting.compiled)}}}\n"
    return read_source(Source(f"{base}.plan", text))


def _lines(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.split("; "))


def draw_settings(base: str, data_ranks: int, rng: Random, count: int) -> list[PlanSetting]:
    """Different settings of a base."""
    known = _settings(base, data_ranks)
    return rng.sample(known, min(count, len(known)))


@cache
def _settings(base: str, data_ranks: int) -> list[PlanSetting]:
    """Those that models of a base draw from: no more, since a plan takes longer to read than to prove."""
    plan, layers, rng = base_plan(bases()[base]), _layers(base), Random(f"{base}:{data_ranks}")
    switches = [option.name for option in plan.options if isinstance(option.value, bool)]
    found: dict[PlanSetting, None] = {}
    for _ in range(4 * KNOWN):
        mesh = MESHES[data_ranks][rng.random() < LARGE]
        options = tuple((name, rng.random() < 0.5) for name in switches)
        recompute = rng.choice(list(_recomputes(layers, rng)))
        setting = PlanSetting(
            tuple(mesh.items()), options, rng.choice(list(_units(layers, rng))),
            "" if rng.random() < 0.4 else recompute, layers.blocks if rng.random() < COMPILED else "",
        )  # fmt: skip
        found[setting] = None
        if len(found) == KNOWN:
            break
    return list(found)


def simpler_settings(base: str, setting: PlanSetting) -> list[PlanSetting]:
    """A setting made simpler, one thing at a time."""
    usual = (*_layers(base).blocks.split("; "), "root")
    changes: list[dict[str, Any]] = [{"recompute": ""}, {"units": usual}, {"compiled": ""}]
    return [made for change in changes if (made := replace(setting, **change)) != setting]


@dataclass(frozen=True)
class _Layers:
    blocks: str
    """Patterns of the blocks, by `; `."""
    children: tuple[str, ...]
    """Patterns of what is called inside of them and has parameters."""
    others: tuple[str, ...]
    """Modules outside of the blocks with parameters that no other module has."""


@cache
def _layers(base: str) -> _Layers:
    model, called = model_base(base).model(), set(shapes_in(base, 1).calls)
    lists = [name for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    lists = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    children: dict[str, None] = {}
    for name in lists:
        for child in _called_below(f"{name}.0", model, called):
            children[f"{name}.*.{child}"] = None
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    tied = {name for name in names if name not in dict(model.named_parameters())}
    shared = {id(model.get_parameter(name)) for name in tied}
    others = [
        name
        for name, module in model.named_children()
        if name in called
        and any(True for _ in module.parameters())
        and not any(id(param) in shared for param in module.parameters())
        and not any(other.startswith(f"{name}.") for other in lists)
    ]
    return _Layers("; ".join(f"{name}.*" for name in lists), tuple(children), tuple(others))


def _called_below(name: str, model: nn.Module, called: set[str]) -> Iterator[str]:
    for child, module in model.get_submodule(name).named_children():
        if f"{name}.{child}" in called:
            if any(True for _ in module.parameters()):
                yield child
        else:
            yield from (f"{child}.{below}" for below in _called_below(f"{name}.{child}", model, called))


def _units(layers: _Layers, rng: Random) -> Iterator[tuple[str, ...]]:
    blocks = tuple(layers.blocks.split("; "))
    yield (*blocks, "root")
    yield (*blocks, "root")
    yield ("root",)
    yield (*(f"{block}   keep" for block in blocks), "root")
    if layers.children:
        child = rng.choice(layers.children)
        yield (child, *blocks, "root")
        yield (child, "root")
        yield (*layers.children, "root")
    if layers.others:
        other = rng.choice(layers.others)
        yield (other, *blocks, "root")
        yield (f"{other}   keep", *blocks, "root")
    if len(layers.others) > 1:
        yield (" + ".join(rng.sample(layers.others, 2)), *blocks, "root")


def _recomputes(layers: _Layers, rng: Random) -> Iterator[Any]:
    yield layers.blocks
    yield layers.blocks
    if layers.children:
        yield rng.choice(layers.children)
    yield "; ".join(f"{block}   save(matmul, attention)" for block in layers.blocks.split("; "))
