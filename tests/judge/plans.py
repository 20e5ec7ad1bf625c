"""Plans as the judge reads them: flat lines that cases edit, and rules as plain data.

Only the language of planc is used: reading, `extends`, options, lets and conditions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from planc.check_result import Result
from planc.compile import check_document
from planc.ir.expr import evaluate
from planc.ir.graph import ModelGraph
from planc.ir.resolved import Resolved, Settings
from planc.ir.source import Source
from planc.resolve import resolve
from planc.syntax.blocks.tensor_block import encode_loss, encode_rule
from planc.syntax.read_file import read_path, read_source

SIZES = {"tp": 2, "dp": 1}


def flat_rules(path: str, facts: Mapping[str, int | bool], options: Mapping[str, int | bool]) -> list[str]:
    """The rules of a plan on tp, a line each, with all that they stand on worked in."""
    settled = resolve(read_path(path), Settings(SIZES, options=options), facts)
    found: list[str] = []
    for block in settled.blocks:
        if block.kind == "tensor":
            lines = [encode_rule(entry.value) for entry in block.entries]
            lines += [encode_loss(block.loss.value)] if block.loss else []
            found += [_line(line) for line in lines]
    return found


def _line(line: Any) -> str:
    return re.sub(r" +", " ", " ".join(cell for cell in line.cells if cell))


def apply_edits(lines: Iterable[str], edits: Iterable[str]) -> list[str]:
    """Lines after edits: `- PART` drops the lines with this part, `+ LINE` adds one, and
    `PART => PART` writes something else in every line that has it."""
    found = list(lines)
    for edit in edits:
        if edit.startswith("+ "):
            found.append(edit[2:])
            continue
        drops = edit.startswith("- ")
        old, _, new = (edit[2:], "", "") if drops else edit.partition(" => ")
        if not any(old in line for line in found):
            raise ValueError(f"no line has '{old}' in: {found}")
        found = [line.replace(old, new) for line in found if not (drops and old in line)]
    return found


def plan_text(lines: Iterable[str]) -> str:
    return "mesh dp, tp\ntensor tp {\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


def check_text(text: str, graph: ModelGraph) -> Result:
    """What planc says of a plan."""
    return check_document(read_source(Source("case.plan", text)), Settings(SIZES), graph)


def rules_as_data(settled: Resolved) -> dict[str, Any]:
    """The rules of a plan as data, with numbers in the place of expressions."""
    blocks = [block for block in settled.blocks if block.kind == "tensor"]
    rules = [_rule(entry.value, settled) for block in blocks for entry in block.entries]
    return {"rules": rules, "loss": any(block.loss is not None for block in blocks)}


def _rule(rule: Any, settled: Resolved) -> dict[str, Any]:
    values = settled.values
    parts = [evaluate(part.size, values) for part in rule.parts]
    if len(parts) == 1 and rule.parts[0].name is None:
        parts = [1] * int(parts[0] or 1)
    return {
        "pattern": str(rule.pattern),
        "style": rule.style,
        "parts": parts,
        "input": str(rule.input) if rule.input else None,
        "output": str(rule.output) if rule.output else None,
        "inputs": [(port.key, str(port.before), str(port.after)) for port in rule.inputs],
        "outputs": [(port.key, str(port.before), str(port.after)) for port in rule.outputs],
        "params": [(param.name, str(param.layout)) for param in rule.params],
        "attributes": [(a.name, evaluate(a.value, values)) for a in rule.attributes],
    }


def torch_can_express(rules: list[dict[str, Any]]) -> bool:
    """Whether torch has a style of its own for every rule."""
    return all(
        rule["style"] in (None, "colwise", "rowwise", "sequence")
        and not rule["params"]
        and not rule["attributes"]
        and not (rule["style"] and (rule["inputs"] or rule["outputs"]))
        for rule in rules
    )


def backward_claims(result: Result) -> dict[str, Any]:
    """What a proof says of the backward pass: the boundaries that communicate there, and the
    parameters whose gradients are summed. The judge does just that, and nothing else."""
    assert result.proof is not None
    backward: set[tuple[str, str]] = set()
    sums: set[str] = set()
    for axis in result.proof.axes:
        for path, outcome in axis.analysis.walk():
            backward |= {
                (_joined(path, m.module), m.port) for m in outcome.collectives if m.direction == "backward"
            }
            sums |= {_joined(path, name) for name in outcome.summed_gradients}
    return {"backward": sorted(backward), "sums": sorted(sums)}


def _joined(path: str, name: str) -> str:
    if name.startswith("/"):
        return name[1:]
    return f"{path}.{name}" if path and name else path or name
