"""An `accept` of a law whose violation cannot be accepted.

A plan may accept that an operation mixes the samples of a batch (L709), as the statistics of
BatchNorm do, and that planc cannot prove an operation (L713): each rank then computes with its own
part, and it is clear what is applied. It may not accept what makes a rank fail, lets the ranks'
copies of a parameter drift apart, or has them compute with wrong numbers. The reason is not empty:
a reader of the plan wants to know why.

Wrong:

    mesh tp
    accept L706 at model.norm "it works"
    tensor tp {
        model.norm  sequence
    }

Right:

    mesh dp
    accept L709 at **:BatchNorm2d "statistics of each rank's own batch, as DDP has them"
    fsdp dp {
        root
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.checks.traversal import records_of_type
from planc.closest import closest_match, join_names
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.laws import LAWS
from planc.ir.plan import Accept
from planc.ir.resolved import Resolved, Settings
from planc.ir.text_fixes import replacement_fix

_ACCEPTABLE = tuple(law.code for law in LAWS if law.acceptable)


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    for accept, location in records_of_type(resolved, Accept):
        if accept.code not in _ACCEPTABLE:
            known = any(law.code == accept.code for law in LAWS)
            message = (
                f"a violation of {accept.code} cannot be accepted"
                if known
                else f"there is no law '{accept.code}'"
            )
            label = location.label("", "code")
            meant = None if known else closest_match(accept.code, _ACCEPTABLE)
            yield diagnostic("R310", label, message, f"needed: {join_names(_ACCEPTABLE)}",
                             fix=replacement_fix(label, meant))  # fmt: skip
        if not accept.reason.strip():
            yield diagnostic("R310", location.label("", "reason"), "nothing says why this is accepted",
                             "needed: a reason in the quotes")  # fmt: skip
