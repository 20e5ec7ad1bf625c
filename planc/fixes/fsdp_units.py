"""Changes of FSDP's units: a unit stays gathered, or leaves its parameters to the unit around it."""

from __future__ import annotations

from planc.bind.binding import Binding
from planc.bind.pattern_source import remove_pattern_fix
from planc.fixes.edit_plan import label_after
from planc.ir.diagnostic import Edit, Fix
from planc.proof.result import Finding, Violation
from planc.proof.units.find_misuse import unit_violations


def suggest_unit(binding: Binding, finding: Finding) -> Fix | None:
    """`keep` for the unit that is to blame where that mends it; else the unit leaves its parameters to the one around it."""
    issue = finding.issue
    entry = issue.origin.rule if isinstance(issue, Violation) and issue.origin is not None else None
    if entry is None:
        return None
    block = next(n for n, each in enumerate(binding.resolved.blocks) if each is finding.axis.block.value)
    still_blamed = [each.origin.rule for each in unit_violations(binding, block, kept=entry) if each.origin]
    if not any(rule is entry for rule in still_blamed) and entry.value.reshard is None:
        label = label_after(entry, "patterns")
        return Fix(
            "add 'keep', so that the unit stays gathered until its backward pass",
            (Edit(label.span, "  keep"),),
        )
    if len(entry.value.patterns) > 1 or entry.value.patterns[0].is_root:
        return None
    return remove_pattern_fix(entry, 0)
