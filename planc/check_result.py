"""The result of checking one plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planc.ir.diagnostic import AcceptedViolation, Diagnostic, SkippedCheck
from planc.ir.document import Document
from planc.ir.record import Record
from planc.ir.resolved import Resolved

if TYPE_CHECKING:
    from planc.bind.binding import Binding
    from planc.proof.result import Proof


class Result(Record):
    """What planc found out about a plan, on one mesh and with one set of options."""

    document: Document
    """The plan as it was read."""
    resolved: Resolved
    """The plan that the mesh and the options select."""
    diagnostics: tuple[Diagnostic, ...]
    """In the order of the plan, then of its base plans. A fix in them was tried, and works."""
    skipped: tuple[SkippedCheck, ...]
    """The checks that planc could not make, each with the reason."""
    verdict: str
    """`proved`: right for this model and mesh; `refuted`: an error; `unproved`: no error, but
    not all could be shown; `checked`: no error, and no model given."""
    binding: Binding | None = None
    """The plan bound to the model, where a model is given and the plan can be read."""
    proof: Proof | None = None
    """The layouts of all values, where no earlier stage found an error."""
    accepted: tuple[AcceptedViolation, ...] = ()
    """Violations that the plan accepts; the verdict is that on all others."""

    def __repr__(self) -> str:
        """Short: all fields would fill a screen a hundred times."""
        return (
            f"<Result of {self.document.source.name}: {self.verdict}, diagnostics: {len(self.diagnostics)}>"
        )

    @property
    def is_refuted(self) -> bool:
        return self.verdict == "refuted"
