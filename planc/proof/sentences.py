"""The English of what the proof finds; that of means over the batch is in `batch_sentences.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from planc.proof.batch_sentences import BATCH_SENTENCES, batch_phrases
from planc.proof.regions.causes import (
    MemoryChange,
    NotRepeatable,
    OwnGenerator,
    SecondRunDiffers,
    SecondRunUnknown,
)
from planc.proof.result import GatheredLogits, GatherThenSlice, ProgramPoint, Redundancy, RepeatedGather
from planc.proof.size_sentences import describe_number, describe_size_read
from planc.proof.unproved import (
    AliasOfCopy,
    BrokenAssumption,
    GradientFromNothing,
    MissingModule,
    MixedBatchInputs,
    MutatedAtBoundary,
    NoCollective,
    NoRule,
    NumberEscapes,
    OddBatch,
    OpaqueTensor,
    SeveralLayouts,
    ShardedBufferBelow,
    ShardedBufferWritten,
    SharedContainer,
    SideEffect,
    UnclearLogits,
    UnknownValue,
    UnreadableArguments,
    UnsupportedCall,
    UnsupportedLayout,
    WriteToView,
)
from planc.proof.violations import (
    ArgumentChanged,
    ArrivingLayout,
    Cause,
    DifferentDims,
    ExpandedShard,
    FreedMemory,
    FullDimNeeded,
    FusedSlice,
    FusedSplit,
    GradientUsedBothWays,
    LayoutLaw,
    LiteralSize,
    LocalIndexUsed,
    LogitsNotSharded,
    MergedInnerDim,
    MissingDim,
    MixedGradients,
    OutputNotBatch,
    OutputNotFull,
    PackedGather,
    PackedWithUnpacked,
    ParameterNotGathered,
    PartialOperand,
    ResultChanged,
    ShapeOfOther,
    ShardedDimChanged,
    ShardedRowNumbers,
    ShardedSequence,
    ShardedWithFull,
    SizeRead,
    SliceBounds,
    SplitComplexParts,
    SplitHeads,
    SqueezedShard,
    UnevenDim,
    UnevenGroups,
    UnevenParts,
    UnreducedGradient,
)

HEADLINES: Mapping[LayoutLaw, tuple[str, str]] = {
    "arrives": ("L701", "a value arrives in another layout than the plan declares"),
    "partial": ("L702", "a partial value is used before its all-reduce"),
    "cut-dim": ("L703", "a dim cannot be sharded this way"),
    "cut-along": ("L704", "an operation needs all of a dim that is sharded"),
    "sequence": ("L705", "attention sees a rank's slice of the sequence"),
    "gradient": ("L706", "the gradient is never all-reduced: ranks would drift apart"),
    "size-read": ("L707", "the model's code reads a size that differs between ranks"),
    "size-written": ("L708", "the model's code contains a size that no rank has"),
    "batch": ("L709", "an operation mixes entries of the batch"),
    "leaves": ("L710", "the model returns a value that is not full on every rank"),
    "meet": ("L711", "operands have incompatible layouts"),
    "loss-needs": ("L712", "the loss gets logits in another layout than it needs"),
    "repeat": ("L714", "a recomputed region is not repeatable"),
    "unit-read": ("L715", "a parameter is read while its FSDP unit does not run"),
    "unit-memory": ("L716", "the code uses memory in a way that an FSDP unit does not allow"),
    "no-rule": ("L713", "not proved"),
}
"""The code of each law, and the headline of a violation."""
REDUNDANCY_HEADLINES: Mapping[type[Redundancy], tuple[str, str]] = {
    RepeatedGather: ("L721", "several modules each gather the same value"),
    GatherThenSlice: ("L722", "a value is gathered and then sliced again"),
    GatheredLogits: ("L723", "the logits are gathered, though the loss could take them sharded"),
}


class Sentence(NamedTuple):
    """What was found, and what is needed instead."""

    got: str
    needed: str


def describe_cause(cause: Cause) -> Sentence:
    """The sentence of a cause."""
    if isinstance(cause, SizeRead):
        return Sentence(*describe_size_read(cause))
    got, needed = _PARTIAL[cause.use] if isinstance(cause, PartialOperand) else _SENTENCES[type(cause)]
    fields = {**vars(cause), **_phrases(cause)}
    return Sentence(got.format_map(fields), needed.format_map(fields))


def describe_redundancy(redundancy: Redundancy) -> Sentence:
    """The sentence of redundant communication."""
    got, needed = _REDUNDANCIES[type(redundancy)]
    fields = vars(redundancy)
    return Sentence(got.format_map(fields), needed.format_map(fields))


def describe_point(point: ProgramPoint) -> str:
    """Where a violation is, as `linear(shard(2), replicate)`."""
    if point.kind == "operation" and point.operands is not None:
        return f"{point.name}({', '.join(map(str, point.operands))})"
    if point.kind == "result":
        return f"the model's result '{point.name}'" if point.name else "the model's result"
    if point.kind in ("parameter", "buffer"):
        return f"the {point.kind} {point.name}"
    return _POINTS.get(point.kind, point.name)


def _phrases(cause: Cause) -> Mapping[str, str]:
    """Parts of a sentence that are no field of the cause."""
    if isinstance(cause, FullDimNeeded):
        return {"why": _DIM_USES[cause.use]}
    if isinstance(cause, DifferentDims):
        return {"joined_types": " with ".join(map(str, cause.types))}
    if isinstance(cause, LocalIndexUsed):
        return {"counted": describe_number(cause.type.source)}
    if isinstance(cause, SideEffect):
        return {"what": _SIDE_EFFECTS[cause.effect]}
    if isinstance(cause, BrokenAssumption):
        return {"what": _ASSUMPTIONS[cause.assumption]}
    if isinstance(cause, OpaqueTensor):
        return {"what": _OPAQUE[cause.is_parameter]}
    if isinstance(cause, SeveralLayouts):
        return {"verb": "is called with" if cause.is_input else "returns"}
    if isinstance(cause, NotRepeatable):
        return {"what_happens": _MEMORY_CHANGES[cause.change].format(memory=cause.memory)}
    if isinstance(cause, FreedMemory):
        return {"use": _MEMORY_USES[cause.direction]}
    if isinstance(cause, NumberEscapes):
        return {"number": describe_number(cause.source)}
    return batch_phrases(cause)


_PARTIAL: Mapping[str, tuple[str, str]] = {
    "nonlinear operation": (
        "a partial value enters an operation that is not linear in it",
        "the all-reduce before it, at the module that leaves the value partial",
    ),
    "sum with a full value": (
        "a partial value is added to one that is not partial",
        "the all-reduce before it: otherwise every rank adds that value once more",
    ),
    "product with a value that differs": (
        "a partial value is combined with another value that differs between ranks",
        "the all-reduce before it",
    ),
    "bias": (
        "every rank adds the bias to a partial value",
        "rowwise, which adds the bias once, after the all-reduce",
    ),
    "deferred bias": (
        "every rank would add the bias of this module, and the all-reduce would sum them",
        "the all-reduce here, or a module without a bias",
    ),
    "histogram": ("the entries of a partial value are counted", "the all-reduce before it"),
    "index": ("a partial value is used as an index", "the all-reduce before it"),
    "number written": ("a number is written into a partial value", "the all-reduce before it"),
    "uneven expand": (
        "a partial value is expanded to a size that differs between ranks",
        "the all-reduce before it",
    ),
    "cast": ("a partial value is rounded to {dtype}", "the all-reduce before it"),
    "fill": ("every rank fills a partial value with a number", "the all-reduce before it"),
    "constant added": ("every rank adds a constant to a partial value", "the all-reduce before it"),
    "padding": ("every rank pads a partial value with a number other than 0", "the all-reduce before it"),
    "scatter": ("every rank scatters into a partial value", "the all-reduce before it"),
}

_FULL_DIM = "the whole dim on every rank"
_PACKED = f"{_FULL_DIM}; a fused projection needs packed_colwise"

_POINTS: Mapping[str, str] = {
    "branch": "a branch of the model's code",
    "number": "a number of the model's code",
    "model": "the model",
}

_REDUNDANCIES: Mapping[type[Redundancy], tuple[str, str]] = {
    RepeatedGather: (
        "{modules} modules take the same value, each with its own {kind} in the {direction} pass",
        "one {kind} for all of them, by inputs(... -> replicate) at the module around them: it saves "
        "{bytes_saved:,} bytes each time",
    ),
    GatherThenSlice: (
        "all_gather along dim {dim}, {bytes:,} bytes, and the next module slices the result",
        "shard({dim}) as the layout between the two modules",
    ),
    GatheredLogits: (
        "all_gather of {bytes:,} bytes",
        "logits that leave as shard({dim}), and 'loss vocab_parallel'",
    ),
}

_NOT_REPEATABLE = "the next pass may do something else"
_SIDE_EFFECTS: Mapping[str, str] = {
    "attribute.changed": f"the pass changes an attribute of a module: {_NOT_REPEATABLE}",
    "random": f"the code draws a random number outside of tensors: another rank or {_NOT_REPEATABLE}",
    "torch.distributed": "the code uses the process group: ranks may do other things than the whole model",
    "backward": "the pass adds to gradients, and planc does not follow that",
    "grad": "the code reads a gradient that another pass has left",
    "grad_fn": "the code accesses the backward graph, and may change gradients",
    "saved_tensors_hooks": "the code changes the tensors that the backward pass uses",
    "register_hook": "a hook may change a gradient",
    "register_post_accumulate_grad_hook": "a hook may change a gradient",
    "weight.assigned": f"the pass assigns another tensor to a weight: {_NOT_REPEATABLE}",
    "weight.written": "something writes to a weight, and no operation of the graph shows it",
}
_OPAQUE: Mapping[bool, str] = {
    True: "the code reads a parameter from a plain attribute, where the split model has another one",
    False: "the code reads a tensor that no operation of the graph has made",
}
_ASSUMPTIONS: Mapping[str, str] = {
    "bias": "a rowwise module adds its bias once, to its result: this code uses the bias in another way",
    "lookup": "a rowwise embedding looks up the rows of its first input and returns them: this code does not",
    "padding": "a rowwise embedding takes its padding row from 'padding_idx', which each rank has as its own: this code "
    "does not",
}

_SENTENCES: Mapping[type[Cause], tuple[str, str]] = {
    **BATCH_SENTENCES,
    NoRule: ("planc has no rule for this operation", ""),
    UnsupportedCall: ("{reason}", ""),
    UnreadableArguments: ("planc cannot read its arguments ({error})", ""),
    SideEffect: ("{what}", ""),
    OpaqueTensor: ("{what}", ""),
    BrokenAssumption: ("{what}", ""),
    AliasOfCopy: ("it writes to a copy that a boundary has made: in the split model, views of the original do not change", ""),
    WriteToView: ("it writes to a tensor that may lie in the memory of one that the code uses later: without a plan, strides "
                  "make it a copy", ""),
    GradientFromNothing: ("its result has a gradient, but none of its operands has one", ""),
    NumberEscapes: ("the code turns {number} into a plain number, and planc cannot follow its uses", ""),
    MissingModule: ("the graph calls a module that it does not have", ""),
    ShardedBufferWritten: ("the code reads a sharded buffer, and writes to tensors: the buffer may be among them", ""),
    ShardedBufferBelow: ("a module inside of the owner of a sharded buffer reads the buffer", ""),
    MutatedAtBoundary: ("the module changes in place a tensor that passes its boundary", ""),
    SharedContainer: ("it passes in a container that other code may hold, and other code uses it without the boundary", ""),
    SeveralLayouts: ("the module {verb} this value in several places, and the plan gives them different layouts", ""),
    NoCollective: ("no collective turns {before} into {after}", ""),
    UnsupportedLayout: ("planc cannot give a value the layout {layout}", ""),
    MixedBatchInputs: ("its inputs differ in their first dim, and planc cannot tell which of them are batches", ""),
    OddBatch: ("the batch of the capture cannot be halved", "a graph captured with an even batch"),
    UnclearLogits: ("it is not clear which of the model's results are the logits that the loss takes",
                    "a result that is called 'logits', or one alone that a gradient flows to"),
    UnknownValue: ("the proof could not follow a value", ""),
    UnevenDim: ("dim {dim} has size {size}, which {ranks} ranks cannot share evenly",
                  "a number of ranks that divides {size}"),
    UnevenParts: ("dim {dim} of size {size} does not keep the parts {parts} divisible by {ranks} ranks",
                  "parts that the ranks can share evenly"),
    MergedInnerDim: ("dim {dim} is merged into dim {outer}, so a rank's entries are not consecutive",
                     "a shard of the first of the dims that are merged"),
    MissingDim: ("a value of {ndim} dims has no dim {dim}", "a dim that it has"),
    SqueezedShard: ("dim {dim} has size {size}, but size 1 on a rank, which squeezes it away",
                    "code that squeezes dims by number"),
    FullDimNeeded: ("an operand is {type}, and {why}", _FULL_DIM),
    ShardedDimChanged: ("dim {dim} is {type}, and is {change}", _FULL_DIM),
    FusedSlice: ("{entries} of {size} are taken from dim {type.dim}, which is {type}", _PACKED),
    FusedSplit: ("dim {dim} is {type}, and a rank splits it into other pieces", _PACKED),
    SliceBounds: ("{entries} of dim {dim} are local {local} on a rank; the code takes {taken}",
                  "attributes(...) that give the module its local sizes"),
    SplitComplexParts: ("the real and the imaginary parts are on different ranks", "both on every rank"),
    SplitHeads: ("heads are {type}: every rank has a slice of each head", "whole heads on every rank"),
    PackedGather: ("an all-gather of a {type} would put its parts in the wrong order",
                   "an all-gather of each part"),
    ShardedSequence: ("attention sees a sequence that is {type}", "the whole sequence on every rank"),
    MixedGradients: ("one operand has its full gradient on every rank, another one a partial gradient",
                     "one boundary for both, so that the partial gradients are all-reduced"),
    UnreducedGradient: ("a replicated value of shape {shape} is used with one that is {other}",
                        "a boundary or a style that all-reduces its gradient"),
    GradientUsedBothWays: ("its gradient is partial here, and full on every rank at {module}",
                           "one boundary around all uses, or none"),
    LocalIndexUsed: ("positions that each rank counts from its own start, up to {counted}", "positions that count along the whole dim"),
    LiteralSize: ("the code sets the size of dim {dim} to {literal}, where a rank has {local_size}",
                  "-1 in the code, or attributes(...) that give the module its local sizes"),
    DifferentDims: ("{joined_types}", "operands that are sharded along the same dim"),
    ShardedWithFull: ("{type} with a full value of shape {shape}", "operands that are sharded along the same dim"),
    PackedWithUnpacked: ("a packed shard with a shard of one part", "operands with the same parts"),
    ExpandedShard: ("a tensor that is {type} is expanded to a size that differs between ranks",
                    "a tensor that is full on every rank"),
    UnevenGroups: ("a {operation} of {groups} groups, {local_groups} of them on a rank",
                   "operands that are sharded along the groups"),
    ShapeOfOther: ("a tensor that becomes {type} takes the shape of one that is {other}",
                   "tensors with the same layout"),
    ShardedRowNumbers: ("row numbers are {type}, for a table that is sharded by rows", "all row numbers on every rank"),
    ArrivingLayout: ("{type} arrives", "{declared}, as declared"),
    OutputNotFull: ("it leaves as {type}", "a value that is full, with its full gradient, on every rank"),
    OutputNotBatch: ("it leaves as {type}", "each rank's part of the batch"),
    LogitsNotSharded: ("it leaves as {type}",
                       "shard({dim}): a loss on logits that are sharded over the vocabulary"),
    NotRepeatable: ("{what_happens}", "code that leaves it as it is, or a pattern that leaves this module out of the region"),
    SecondRunDiffers: ("run again after the pass, the region does something else here: it finds what its first run, or code "
                       "after it, has left", "a result that depends on the arguments alone, or a pattern that leaves this module out"),
    OwnGenerator: ("the code draws from a generator of its own, which the second run does not put back",
                   "torch's default generator, or a pattern that leaves this module out of the region"),
    SecondRunUnknown: ("the region leaves tensors for later code, or finds some, and the graph does not say whether a second run "
                       "does the same: capture it again", ""),
    ParameterNotGathered: ("{parameter} is read while its unit, {unit}, is not gathered",
                           "its reader in the same unit, or a unit that is gathered then"),
    ArgumentChanged: ("the code changes an argument of the unit {unit} in place, which autograd refuses behind FSDP's node",
                      "code that leaves its arguments as they are, or no unit here"),
    ResultChanged: ("the code changes a result of the unit {unit} in place: it is a view, and autograd drops FSDP's hook on it",
                    "a new tensor in place of the change, or a unit that keeps its parameters"),
    FreedMemory: ("{use} parameters of the unit {unit}, which it has freed",
                  "a result of the module that is no view of its parameters, or a unit that keeps them"),
}  # fmt: skip

_MEMORY_CHANGES: Mapping[MemoryChange, str] = {
    "own": "the code changes {memory}, and reads it: the second run begins with what the first has left",
    "later": "the code changes {memory} after the region has read it: the second run reads something else",
    "order": "the code writes {memory} after the region has: the second run undoes that",
    "kept": "the code changes a result that 'save' keeps: the second run finds the changed one",
}
"""What a second run of a region does wrong, by what changes the memory."""

_MEMORY_USES: Mapping[str, str] = {
    "forward": "a view that the code uses here lies in the memory of",
    "backward": "the gradient of a value that left the module otherwise than by its result needs",
}
"""What needs memory of parameters that FSDP has freed."""

_DIM_USES: Mapping[str, str] = {
    "": "the operation works along that dim",
    "reduction": "the operation reduces along that dim",
    "sort": "the operation sorts along that dim",
    "pooling": "the operation pools windows along that dim",
    "glu": "glu halves that dim",
    "patches": "the operation cuts patches along that dim",
    "diagonal": "the operation takes a diagonal along that dim",
    "convolution": "the convolution slides along that dim",
    "grouped convolution": "the convolution divides that dim into groups",
    "concatenation": "the operation concatenates along that dim",
    "positions": "the positions along that dim count the whole dim",
    "row numbers": "the row numbers count the rows of the whole table",
    "normalization": "the operation normalizes along that dim",
    "batch statistics": "the statistics are those of the whole batch",
    "softmax": "softmax sums along that dim",
    "matrix": "the operation takes matrices, and needs all of that dim",
    "recurrence": "each step of the layer needs all of that dim",
    "resampling": "the operation moves or mixes entries along that dim",
    "scan": "the operation accumulates along that dim",
    "difference": "the operation subtracts neighbours along that dim",
    "loss": "the loss needs all of that dim",
    "mean loss": "the loss is a mean along that dim",
    "index": "the index takes entries of the whole dim",
    "index write": "the index writes only some entries of that dim",
}
"""Why an operation needs all of a dim."""
