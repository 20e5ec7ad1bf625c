"""A style on a module that it cannot shard.

colwise, rowwise and packed_colwise know the parameters of Linear, Embedding and Conv1D, and of
their subclasses. Use sequence or replicate for a norm, inputs and outputs for a module that
only contains others, and params for any other parameter. Otherwise the module would stay
unsharded, against what the rule says.

Wrong (planc check --model tiny-llama.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        model.norm  colwise
    }

Right (planc check --model tiny-llama.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        model.norm  replicate
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.binding import Binding
from planc.bind.module_groups import ModuleGroup, location_note, rules_with_modules
from planc.bind.param_shards import weight_rows
from planc.closest import join_names
from planc.ir.blocks import Rule
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.graph import ModuleDef
from planc.ir.resolved import Settings
from planc.ir.styles import style_with
from planc.ir.text_fixes import replacement_fix


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    for _, entry, groups in rules_with_modules(binding, Rule):
        mismatches: dict[tuple[str, str, str], list[ModuleGroup]] = {}
        for group in groups:
            mismatch = _mismatch(entry.value, group.bound.module)
            if mismatch is not None:
                mismatches.setdefault(mismatch, []).append(group)
        for (message, got, advice), matching in mismatches.items():
            label = entry.location.label(got, "style")
            are_vectors = all(
                len(i.shape) < 2 for group in matching for i in group.bound.module.parameters.values()
            )
            has_params = bool(matching[0].bound.module.parameters)
            fix = replacement_fix(label, _follower()) if are_vectors and has_params else None
            yield diagnostic(
                "F603",
                label,
                message,
                location_note(matching),
                f"help: {advice}",
                fix=fix,
                module=matching[0].name,
            )


def _mismatch(rule: Rule, module: ModuleDef) -> tuple[str, str, str] | None:
    """The headline, what the module is, and what would fit it."""
    style = rule.style_row
    if style is None:
        return None
    got = f"of class {module.class_name}"
    known = weight_rows(style, module)
    if known is None:
        return f"'{style.name}' cannot shard this module", got, _suggestion(module)
    named = {param.name for param in rule.params}
    if not module.parameters and style.input is None:
        inner = (
            f"name modules inside it: {join_names(module.children)}" if module.children else "remove the rule"
        )
        return f"'{style.name}' does nothing for a module without parameters of its own", got, inner
    missing = [name for name in module.parameters if name not in known and name not in named]
    if missing:
        return (f"'{style.name}' has no layout for '{missing[0]}'", got,
                f"add params({missing[0]}: ...) to the rule")  # fmt: skip
    return None


def _follower() -> str:
    """The style that fits a module of any class."""
    return style_with(follows_input=True).name


def _suggestion(module: ModuleDef) -> str:
    own, sequence = module.parameters, style_with(splits_sequence=True).name
    if not own and module.children:
        return f"name modules inside it, such as {join_names(module.children)}, or write inputs(...) and outputs(...)"
    if not own:
        return f"it has no parameters: write inputs(...) and outputs(...), or {sequence}"
    if all(len(info.shape) < 2 for info in own.values()):
        return f"write {sequence} where the sequence is sharded, or {_follower()}"
    wide = next(name for name, info in own.items() if len(info.shape) > 1)
    return f"write params({wide}: shard(0)), with the dim to shard"
