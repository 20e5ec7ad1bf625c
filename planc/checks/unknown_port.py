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
    called = module_calls(binding)
    for _, entry, found in rules_with_modules(binding, Rule):
        for side, what in (("inputs", "argument"), ("outputs", "result")):
            for i, port in enumerate(getattr(entry.value, side)):
                missing: dict[tuple[str, tuple[str, ...]], list[ModuleGroup]] = {}
                for site in found:
                    given = [_passed_values(handed, side) for handed in called.get(site.bound, ())]
                    tensors = tuple(
                        dict.fromkeys(key for each in given for key, v in each.items() if has_tensor(v))
                    )
                    if given and str(port.key) not in tensors:
                        had = any(str(port.key) in each for each in given)
                        got = "no tensor in any call of it" if had else f"no such {what} in any call of it"
                        missing.setdefault((got, tensors), []).append(site)
                for (got, tensors), like in missing.items():
                    kind = "position" if str(port.key).isdigit() else "keyword"
                    yield diagnostic("F609", entry.location.label(got, side, i),
                                 f"the module has no {what} at {kind} '{port.key}'", location_note(like),
                                 f"needed: {', '.join(tensors) or f'a module with a tensor as {what}'}",
                                 fix=_port_fix(entry, side, i, str(port.key), tensors),
                                 module=like[0].name)  # fmt: skip


def _passed_values(call: CapturedCall, side: str) -> Mapping[str, Any]:
    """What passes at one side of a call, by position or keyword."""
    if side == "inputs":
        return {str(i): value for i, value in enumerate(call.args)} | dict(call.kwargs)
    result = call.result
    if isinstance(result, Mapping):
        return {str(i): value for i, value in enumerate(result.values())} | dict(result)
    return {str(i): value for i, value in enumerate(result if isinstance(result, tuple) else (result,))}


def _port_fix(entry: Located, side: str, number: int, key: str, tensors: tuple[str, ...]) -> Fix | None:
    meant = closest_match(key, tensors)
    if meant is None and tensors and (key == "0" or tensors[0] == "0"):
        meant = tensors[0]  # the first is what mostly is meant, by position or by name
    return rename_fix(entry.location.label("", side, number, "key"), key, meant)
