"""What the proof finds: types of results, violations, communication."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from planc.ir.graph import TensorInfo
from planc.ir.record import Record
from planc.ir.resolved import Located, ResolvedBlock
from planc.proof.types import UNKNOWN, SpmdType
from planc.proof.violations import Cause, LayoutLaw

RuleField = tuple[str | int, ...]
"""A piece of a rule, as `("inputs", 0)`."""
CollectiveKind = Literal["all_gather", "reduce_scatter", "all_reduce", "all_to_all"]
Direction = Literal["forward", "backward"]
"""The pass that a collective is in."""


class Origin(Record):
    """Where a value got its type."""

    module: str
    rule: Located | None
    """The rule of the plan that declares it."""


class AbstractValue:
    """The abstract value of a tensor: its type, where it got that, whether it may share memory with a copy that a
    boundary made, and the number of the model's input whose entries it has: see `Operand.input_number`."""

    __slots__ = ("copied", "input_number", "origin", "type")

    def __init__(
        self,
        kind: SpmdType,
        origin: Origin | None = None,
        *,
        copied: bool = False,
        input_number: int | None = None,
    ) -> None:
        self.type, self.origin, self.copied, self.input_number = kind, origin, copied, input_number


UNKNOWN_VALUE = AbstractValue(UNKNOWN)
"""A value that the proof cannot follow."""


class ProgramPoint(Record):
    """Where in a call of a module a violation is."""

    kind: Literal["operation", "call", "port", "result", "parameter", "buffer", "branch", "number", "model"]
    name: str = ""
    """Of the torch function, the called module, the port, the model's result, or the parameter."""
    operands: tuple[SpmdType, ...] | None = None
    """The types of an operation's operands; None where they have no part in it."""


class Violation(Record):
    """A law of layouts that the plan breaks at a module, or (law `no-rule`) what planc cannot judge."""

    cause: Cause
    point: ProgramPoint
    rule: Located | None
    """The rule of the module."""
    rule_field: RuleField = ()
    """The piece of the rule that is meant; empty: all of it."""
    origin: Origin | None = None
    """What gave the value its layout."""
    enclosing_rule: Located | None = None
    """The rule of the nearest module around it that has one."""
    module: str = ""
    """The name of the module below the one whose analysis has the violation."""
    other_operand_rule: Located | None = None
    """What gave another operand its layout."""
    line: str = ""
    """Where the model's own code calls the operation, and the call."""
    expression: str = ""
    """The expression there whose value breaks the law."""
    accepted_by: int | None = None
    """The number of the statement of the plan that accepts it."""
    may_be_accepted: bool = False
    """Whether a plan may accept it, if its law may be accepted."""

    @property
    def law(self) -> LayoutLaw:
        """The law that is broken."""
        return self.cause.law


class CollectiveEvent(Record):
    """One collective."""

    module: str
    """The module at whose boundary it is, by its name below the caller."""
    kind: CollectiveKind
    direction: Direction
    shape: tuple[int, ...]
    """Of the global tensor."""
    dtype: str
    bytes: int
    """Of the global tensor."""
    rule: Located | None
    port: str
    """The port."""
    tensor: int
    """The tensor: the caller's number at an input, the module's own at an output."""
    dim: int | None
    """The dim that is gathered or scattered."""

    @property
    def is_input(self) -> bool:
        """Whether it is at an input of the module."""
        return self.port.startswith("input")


class BoundaryChange(Record):
    """One tensor that changes its type at the boundary of a module, with or without
    communication."""

    module: str
    """By its name below the caller."""
    is_input: bool
    """Whether it enters the module; else it leaves it."""
    path: tuple[str | int, ...]
    """Where it is in the arguments, by position or keyword, or in the result."""
    before: SpmdType
    after: SpmdType
    ndim: int
    """How many dims it has."""
    from_last: tuple[bool, bool]
    """Whether the plan counts the dims of the layouts before and after from the last."""


class RepeatedGather(Record):
    """Modules each gather, or all-reduce the gradient of, one tensor of their caller."""

    modules: int
    """How many."""
    kind: CollectiveKind
    direction: Direction
    bytes_saved: int
    """In each pass, if one boundary around the modules did it."""


class GatherThenSlice(Record):
    """One module's output gathers a value, and the next one's input slices it along the same dim."""

    dim: int
    bytes: int
    """Of the gathered tensor."""


class GatheredLogits(Record):
    """The logits are gathered over the vocabulary, though a loss could take them sharded."""

    dim: int
    bytes: int
    """Of the gathered tensor."""


Redundancy = RepeatedGather | GatherThenSlice | GatheredLogits


class RedundantCollective(Record):
    """Communication that a plan could do without."""

    redundancy: Redundancy
    module: str
    rule: Located | None
    """The rule that causes it."""
    others: tuple[Located, ...]
    """Further rules that have part in it."""


RngUse = Literal["same on all ranks", "per rank"]
"""Whether an operation draws for values that are the same on all ranks, or for each rank's own entries."""
SummedGradient = tuple[TensorInfo, Located | None]
"""A parameter whose gradient is all-reduced, and the rule of its module."""


IgnoredTarget = tuple[int, int]
"""The number of an input of the model, and an entry."""


class Analysis:
    """What the proof finds about one call of a module on one axis; equal calls share it."""

    __slots__ = (
        "accepted",
        "boundary_changes",
        "calls",
        "collectives",
        "full_gradients",
        "has_unknown",
        "has_violations",
        "ignored_targets",
        "looked_up",
        "merges_size_one",
        "redundant_collectives",
        "results",
        "rng_uses",
        "summed_gradients",
        "violations",
    )

    def __init__(self) -> None:
        self.results: tuple[AbstractValue, ...] = ()
        self.violations: list[Violation] = []
        self.accepted: list[Violation] = []
        """Those that the plan accepts."""
        self.collectives: list[CollectiveEvent] = []
        self.redundant_collectives: list[RedundantCollective] = []
        self.boundary_changes: list[BoundaryChange] = []
        self.rng_uses: set[RngUse] = set()
        """How its own operations draw random numbers."""
        self.summed_gradients: dict[str, SummedGradient] = {}
        """Parameters whose gradients the ranks all-reduce over the axis after the backward pass."""
        self.full_gradients: dict[str, Located | None] = {}
        """Parameters whose full gradient every rank computes, with the rules of their modules."""
        self.calls: list[tuple[str, Analysis]] = []
        """The modules that it calls, by their names."""
        self.ignored_targets: set[IgnoredTarget] = set()
        """What a mean over the batch leaves out: ranks have equal parts of it only if their inputs have no such entry."""
        self.looked_up: set[int] = set()
        """The numbers of the model's inputs whose entries are rows of a table, and so not negative."""
        self.merges_size_one = False
        """Whether a view in it is right only as long as a dim of size 1 has that size."""
        self.has_violations = False
        """Whether there is a violation here or in a module that it calls."""
        self.has_unknown = False
        """Whether the proof could not follow a value; some violation says why."""

    @property
    def has_findings(self) -> bool:
        """Whether this call itself has a violation or a redundant collective."""
        return bool(self.violations or self.redundant_collectives)

    def walk(self, path: str = "", *, only: frozenset[int] | None = None) -> Iterator[tuple[str, Analysis]]:
        """Every call, with the name of its module, in the order of execution.

        Args:
            only: the analyses to visit, by identity; the calls of others are left out.
        """
        pending = [(path, self)]
        while pending:
            here, analysis = pending.pop()
            yield here, analysis
            for name, called in reversed(analysis.calls):
                if only is None or id(called) in only:
                    pending.append((join_module_path(here, name), called))

    def distinct_analyses(self) -> list[Analysis]:
        """Every analysis once, callers after the modules that they call."""
        by_id: dict[int, Analysis] = {}

        def visit(analysis: Analysis) -> None:
            for _, called in analysis.calls:
                if id(called) not in by_id:
                    visit(called)
            by_id[id(analysis)] = analysis

        visit(self)
        return list(by_id.values())

    def walk_findings(self) -> Iterator[tuple[str, Analysis]]:
        """The calls that have findings, and their callers."""
        with_findings: set[int] = set()
        for analysis in self.distinct_analyses():
            if analysis.has_findings or any(id(called) in with_findings for _, called in analysis.calls):
                with_findings.add(id(analysis))
        return self.walk(only=frozenset(with_findings))


class AxisProof(Record):
    """What the proof found on one axis."""

    axis: str
    ranks: int
    block: Located
    """The block of the plan that splits over the axis."""
    analysis: Analysis
    """Of a caller of the model, whose boundary is the model's own."""
    results: Mapping[str, SpmdType]
    """The types of the model's outputs, by name."""
    local_sizes: frozenset[int] = frozenset()
    """The entries of the block of whose parameters other modules read the rank's size, not the global one."""

    @property
    def splits_tensors(self) -> bool:
        """Whether the ranks share dims of parameters and activations; if not, they share the batch."""
        block: ResolvedBlock = self.block.value
        return block.splits_tensors


class Proof(Record):
    """The proof on every axis that has a size."""

    axes: tuple[AxisProof, ...]
    unsized_axes: tuple[str, ...]
    """Axes without a size: nothing is proved of them."""
    unsupported_axes: tuple[str, ...] = ()
    """Axes of blocks in a role that planc cannot prove yet."""
    region_violations: tuple[Violation, ...] = ()
    """What keeps recomputed regions from doing the same twice."""
    restored_buffers: Mapping[str, tuple[str, ...]] = {}
    """By the module of a recomputed region, the buffers that are put back before its second run, and then again."""
    compiled_sizes: tuple[str, ...] = ()
    """Sizes that code of a compiled region reads, and that it would find otherwise than the proof assumes; in words."""

    @property
    def has_findings(self) -> bool:
        """Whether there is a violation or a redundant collective on any axis, or in a region."""
        analyses = (each for axis in self.axes for each in axis.analysis.distinct_analyses())
        return bool(self.region_violations) or any(each.has_findings for each in analyses)


class Finding(Record):
    """What the proof found on an axis, at all modules that have it."""

    issue: Violation | RedundantCollective
    modules: tuple[str, ...]
    """Their names in the model."""
    axis: AxisProof


class RegionFinding(Record):
    """A violation of recomputed regions, at all modules that have it."""

    issue: Violation
    modules: tuple[str, ...]
    """Their names in the model."""


def join_module_path(path: str, name: str) -> str:
    """The dotted name of a module below another."""
    if name.startswith("/"):
        return name[1:]
    return f"{path}.{name}" if path and name else path or name
