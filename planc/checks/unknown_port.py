"""A boundary at an argument or a result that the module does not have.

`inputs` and `outputs` name values by position or by keyword, as the model's code passes them:
an argument that is passed by keyword has no position. A boundary at any other name would
change nothing, because no tensor passes it.

Wrong (planc check --model tiny-llama.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        model.layers.*.self_attn  inputs(0: replicate -> replicate)
    }

Right (planc check --model tiny-llama.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        model.layers.*.self_attn  inputs(hidden_states: replicate -> replicate)
    }
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from planc.bind.binding import Binding
from planc.bind.module_calls import CapturedCall, has_tensor, module_calls
from planc.bind.module_groups import ModuleGroup, location_note, rules_with_modules
from planc.closest import closest_match
from planc.ir.blocks import Rule
from planc.ir.diagnostic import Diagnostic, Fix, diagnostic
from planc.ir.resolved import Located, Settings
from planc.ir.text_fixes import rename_fix


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    calls = module_calls(binding)
    for _, entry, groups in rules_with_modules(binding, Rule):
        for side, noun in (("inputs", "argument"), ("outputs", "result")):
            for i, port in enumerate(getattr(entry.value, side)):
                missing: dict[tuple[str, tuple[str, ...]], list[ModuleGroup]] = {}
                for group in groups:
                    passed = [_passed_values(call, side) for call in calls.get(group.bound, ())]
                    tensors = tuple(
                        dict.fromkeys(key for values in passed for key, v in values.items() if has_tensor(v))
                    )
                    if passed and str(port.key) not in tensors:
                        exists = any(str(port.key) in values for values in passed)
                        got = "no tensor in any call of it" if exists else f"no such {noun} in any call of it"
                        missing.setdefault((got, tensors), []).append(group)
                for (got, tensors), matching in missing.items():
                    kind = "position" if str(port.key).isdigit() else "keyword"
                    yield diagnostic("F609", entry.location.label(got, side, i),
                                 f"the module has no {noun} at {kind} '{port.key}'", location_note(matching),
                                 f"needed: {', '.join(tensors) or f'a module with a tensor as {noun}'}",
                                 fix=_port_fix(entry, side, i, str(port.key), tensors),
                                 module=matching[0].name)  # fmt: skip


def _passed_values(call: CapturedCall, side: str) -> Mapping[str, Any]:
    """The arguments or results of a call, by position or keyword."""
    if side == "inputs":
        return {str(i): value for i, value in enumerate(call.args)} | dict(call.kwargs)
    result = call.result
    if isinstance(result, Mapping):
        return {str(i): value for i, value in enumerate(result.values())} | dict(result)
    return {str(i): value for i, value in enumerate(result if isinstance(result, tuple) else (result,))}


def _port_fix(entry: Located, side: str, number: int, key: str, tensors: tuple[str, ...]) -> Fix | None:
    closest = closest_match(key, tensors)
    if closest is None and tensors and (key == "0" or tensors[0] == "0"):
        closest = tensors[0]  # usually the first is meant, by position or by name
    return rename_fix(entry.location.label("", side, number, "key"), key, closest)
