"""Fixes that make others necessary: planc offers them together, and the plan with them is proved."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn
from torch.nn import functional

from planc.check_result import Result
from planc.commands.apply_fixes import apply_fixes
from planc.compile import check_document
from planc.ir.document import Document
from planc.ir.graph import ModelGraph
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.syntax.read_file import read_source
from planc.torch.capture.trace import CaptureTarget, trace


class NormedHeads(nn.Module):
    """Attention with a norm of the queries: four heads, spelled out."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(16, 16) for _ in range(4))
        self.norm, self.heads = nn.LayerNorm(4), 4

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            layer(x).view(*x.shape[:2], self.heads, -1).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )
        y = functional.scaled_dot_product_attention(self.norm(q), k, v)
        return self.o(y.transpose(1, 2).flatten(2))


class BiasedHeads(nn.Module):
    """Attention with a learned bias for each head and distance."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.o = (nn.Linear(16, 16) for _ in range(3))
        self.heads, self.table = 4, nn.Parameter(torch.randn(11, 4))

    def forward(self, x: Tensor) -> Tensor:
        q, k = (layer(x).view(*x.shape[:2], self.heads, -1).transpose(1, 2) for layer in (self.q, self.k))
        steps = torch.arange(6)
        bias = self.table[steps[:, None] - steps[None] + 5].permute(2, 0, 1)
        return self.o(((q @ k.transpose(-2, -1) + bias).softmax(-1) @ k).transpose(1, 2).flatten(2))


class Model(nn.Module):
    def __init__(self, attn: nn.Module) -> None:
        super().__init__()
        self.attn = attn

    def forward(self, x: Tensor) -> Tensor:
        return self.attn(x)


CASES = {
    "a style for a norm": (
        NormedHeads,
        "attn.{q,k,v}  colwise",
        "add 'attn  attributes(heads: 4 // tp)', and add 'attn.norm  replicate'",
    ),
    "a layout for a table": (
        BiasedHeads,
        "attn.{q,k}  colwise",
        "add 'attn  attributes(heads: 4 // tp)', and add 'params(table: shard(1))'",
    ),
}


def check(text: str, graph: ModelGraph) -> tuple[Result, Result]:
    """What checking a plan gives, and what it gives after its fixes."""
    settings = Settings({"tp": 2})

    def recheck(document: Document) -> Result:
        return check_document(document, settings, graph)

    first = recheck(read_source(Source("plan.plan", text, "text", ".")))
    return first, apply_fixes(first, recheck)


@pytest.mark.parametrize("name", CASES)
def test_a_fix_brings_those_that_it_makes_necessary(name: str) -> None:
    module, rule, message = CASES[name]
    graph = trace(CaptureTarget("fix", Model(module()), (torch.zeros(4, 6, 16),), {}, {}, {"torch": "2"}))
    first, after = check(f"mesh tp\ntensor tp {{\n    {rule}\n    attn.o  rowwise\n}}\n", graph)
    fixes = [d.fix.message for d in first.diagnostics if d.is_error and d.fix is not None]
    assert (first.verdict, fixes) == ("refuted", [message])
    assert after.verdict == "proved"
