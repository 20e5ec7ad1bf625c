"""Writes plans/README.md: what every shipped plan is proved for, and what it communicates.

python tools/plans_table.py
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from planc.check_result import Result
from planc.compile import check_document
from planc.forecast.collectives import forecast_collectives
from planc.graph.graph_reader import read_graph_file
from planc.ir.resolved import Settings
from planc.paths import shipped_path
from planc.syntax.read_file import read_path

PLANS = Path(__file__).parent.parent / "plans"
SIZES = (2, 4, 8)

FAMILIES = {
    "Llama 3": ("llama", ("llama-3-8b", "llama-3-70b", "llama-3-405b")),
    "Qwen 2.5": ("qwen2", ("qwen2.5-7b", "qwen2.5-72b")),
    "Qwen 3": ("qwen3", ("qwen3-8b",)),
    "Mistral": ("mistral", ("mistral-7b",)),
    "Gemma 3": ("gemma3", ("gemma-3-4b",)),
    "Phi-3, Phi-4": ("phi3", ("phi-3-mini", "phi-4")),
    "GPT-2": ("gpt2", ("gpt2", "gpt2-medium")),
    "GPT-NeoX, Pythia": ("neox", ("pythia-6.9b",)),
    "OLMo 2": ("olmo2", ("olmo-2-7b",)),
    "Mixtral": ("mixtral", ("mixtral-8x7b",)),
    "Qwen 3 MoE": ("qwen3_moe", ("qwen3-30b-a3b",)),
    "DeepSeek V3": ("deepseek_v3", ("deepseek-v3",)),
    "BERT, classifier": ("bert", ("bert-base-classifier",)),
    "BERT, masked words": ("bert_mlm", ("bert-base",)),
    "T5": ("t5", ("t5-base",)),
    "ViT": ("vit", ("vit-base",)),
    "Whisper": ("whisper", ("whisper-small",)),
}
"""The plan of a family, and the graphs that are shipped with it."""

_HEAD = """# Plans that are shipped with planc

This page is generated (`python tools/plans_table.py`), and a test holds it true. Each line was
proved on the captured graph of the published model, at the size named, together with FSDP over
`dp`: `planc check PLAN --model GRAPH --dp 2 --tp N`. «tp» lists the sizes 2, 4 and 8 at which the
plan is proved; the others do not divide the model's heads, kv heads or experts, and are refuted.
«A block» counts the collectives of activations in one block of the model, forward + backward
(two numbers where blocks differ, as those of an encoder and a decoder).

| family | plan | graph | sequence | tp | a block |
| --- | --- | --- | --- | --- | --- |
"""


def table() -> str:
    """The page."""
    lines = []
    for family, (plan, graphs) in FAMILIES.items():
        for graph in graphs:
            for sequence in _modes(plan):
                sizes, counts = _row(plan, graph, sequence)
                mode = {True: "split", False: "whole", None: "whole"}[sequence]
                lines.append(f"| {family} | `{plan}` | `{graph}` | {mode} | {sizes} | {counts} |\n")
    return _HEAD + "".join(lines)


def _modes(plan: str) -> tuple[bool | None, ...]:
    """With and without sequence parallel, where a plan has that option."""
    settled = check_document(read_path(plan)).resolved
    return (True, False) if "sequence_parallel" in settled.options else (None,)


def result_of(plan: str, graph: str, tp: int, sequence: bool | None) -> Result:
    """What checking a plan against a shipped graph gives."""
    options = {} if sequence is None else {"sequence_parallel": sequence}
    model = read_graph_file(shipped_path("plans", f"{graph}.graph.json.gz"))
    return check_document(read_path(plan), Settings({"dp": 2, "tp": tp}, options=options), model)


def _row(plan: str, graph: str, sequence: bool | None) -> tuple[str, str]:
    results = {tp: result_of(plan, graph, tp, sequence) for tp in SIZES}
    proved = [tp for tp, result in results.items() if result.verdict == "proved"]
    return ", ".join(map(str, proved)) or "none", ", ".join(_blocks(results[proved[0]])) if proved else ""


def _blocks(result: Result) -> Iterator[str]:
    """The collectives of each kind of block, forward + backward."""
    assert result.binding is not None
    assert result.proof is not None
    stacks: dict[str, Counter[tuple[str, str]]] = {}
    for one in forecast_collectives(result.binding, result.proof, merge=False):
        place = re.match(r"(.+?\.)(\d+)(?:\.|$)", one.module)
        # What stands at the edge of a stack, as where the sequence is split before the first
        # block, is no cost of a block: the second block shows it. What is run again is a cost of
        # `recompute`, and left out.
        moves = one.tensor.startswith(("input", "output")) and ", again" not in one.tensor
        if place and one.axis == "tp" and moves:
            stacks.setdefault(place[1], Counter())[place[2], one.direction] += 1
    seen = []
    for counts in stacks.values():
        for number in sorted({number for number, _ in counts}, key=int)[1:]:
            text = f"{counts[number, 'forward']} + {counts[number, 'backward']}"
            if text not in seen:
                seen.append(text)
    yield from seen


if __name__ == "__main__":
    (PLANS / "README.md").write_text(table(), encoding="utf-8")
