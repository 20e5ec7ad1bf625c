"""Why planc cannot tell whether a plan is right: a record for each cause. No law is violated; nothing is proved."""

from __future__ import annotations

from typing import Literal

from planc.ir.layout import Layout
from planc.proof.types import NumberSource, SpmdType
from planc.proof.violations import Cause


class Unproved(Cause):
    """A cause that leaves a plan unproved."""

    LAW = "no-rule"


# ---- operations ------------------------------------------------------------------------


class NoRule(Unproved):
    """planc has no rule for an operation."""


class UnsupportedCall(Unproved):
    """A rule does not cover a call."""

    reason: str
    """As the rule puts it."""


class UnreadableArguments(Unproved):
    """The arguments of a call are not those of the operation: somebody wrote the graph by hand."""

    error: str
    """The type of the exception."""


SIDE_EFFECTS = (
    "attribute.changed",
    "random",
    "torch.distributed",
    "backward",
    "grad",
    "grad_fn",
    "saved_tensors_hooks",
    "register_hook",
    "register_post_accumulate_grad_hook",
    "weight.assigned",
    "weight.written",
)
"""What a capture writes into the graph as operations without a rule."""


class SideEffect(Unproved):
    """The model's code does something besides operations on tensors."""

    effect: str
    """One of `SIDE_EFFECTS`."""


class OpaqueTensor(Unproved):
    """The code reads a tensor that no operation of the graph has made."""

    is_parameter: bool
    """Whether it is a parameter, read from a plain attribute."""


Assumption = Literal["bias", "lookup", "padding"]
"""That a rowwise module adds its bias once, to its result; that a rowwise embedding returns the rows of its first input;
that it takes the number of its padding row from its attribute."""


class BrokenAssumption(Unproved):
    """The code of a module does not do what its style assumes."""

    assumption: Assumption


class AliasOfCopy(Unproved):
    """The code writes to a copy that a boundary has made, and uses views of the original."""


class WriteToView(Unproved):
    """The code writes to a tensor and uses another one, which lies in its memory in the split model alone."""


class GradientFromNothing(Unproved):
    """A result has a gradient, but none of its operands has one."""


class TargetsIgnored(Unproved):
    """A mean leaves out entries, and the code may have made some of them: ranks may count other numbers."""

    entry: int


class NumberEscapes(Unproved):
    """The code turns a number that differs between ranks into one that planc cannot follow."""

    source: NumberSource | None


# ---- calls and boundaries --------------------------------------------------------------


class MissingModule(Unproved):
    """The graph calls a module that it does not have."""


class MutatedAtBoundary(Unproved):
    """A module changes in place a tensor whose layout its boundary changes."""


class ShardedBufferWritten(Unproved):
    """Code reads a sharded buffer, and writes to tensors: the buffer may be among them, and only the rank's slice would
    change."""


class ShardedBufferBelow(Unproved):
    """A module inside of the owner of a sharded buffer reads the buffer."""


class SharedContainer(Unproved):
    """A tensor passes a boundary in a container that other code may hold, and other code uses the tensor without the boundary."""


class SeveralLayouts(Unproved):
    """One tensor passes a boundary in several places, and the plan gives them different layouts."""

    is_input: bool


class NoCollective(Unproved):
    """No collective makes a change of layout."""

    before: SpmdType
    after: SpmdType


class UnsupportedLayout(Unproved):
    """A boundary cannot give a value this layout."""

    layout: Layout


# ---- the model -------------------------------------------------------------------------


class MixedBatchInputs(Unproved):
    """The inputs of the model differ in their first dim: planc cannot tell which of them are batches."""


class OddBatch(Unproved):
    """The batch of the capture cannot be halved."""


class UnclearLogits(Unproved):
    """The loss takes sharded logits, and planc cannot tell which of the model's results these are."""


class UnknownValue(Unproved):
    """The proof could not follow a value, and no other cause says why."""
