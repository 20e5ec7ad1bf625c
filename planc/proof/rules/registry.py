"""The row of an operation: everything that planc asks of a torch function by its name.

A rule takes an `Operation` and gives the type of its result, or a tuple of types for several results.
It raises `RuleViolation` where the ranks' local results are not shards of the global result, and
`Unsupported` where it cannot tell. Operands of type UNKNOWN never reach a rule. Numbers that differ
between ranks (`RankDependent`) reach only rules whose row accepts them.

    @op_rule("exp", saves=saves("result"), may_alias=False)
    def exp_rule(operation: Operation) -> SpmdType: ...
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal

from planc.ir.graph import Op
from planc.ir.record import Record
from planc.ir.tree import map_leaves
from planc.proof.rules.operation import IgnoredTargets, Operand, Operation, Unsupported
from planc.proof.rules.saved_tensors import SavesFunction, saves_unknown
from planc.proof.types import CONSTANT, SAME_ON_ALL_RANKS, SpmdType

RuleFunction = Callable[[Operation], SpmdType | tuple[SpmdType, ...]]


def never(*_: Any) -> bool:
    """No call of the operation does so."""
    return False


def always(*_: Any) -> bool:
    """Every call of the operation does so."""
    return True


def nothing(*_: Any) -> tuple[Any, ...]:
    """No operand."""
    return ()


def ignores_nothing(_: Operation) -> None:
    """No entries of any operand."""
    return


Entries = Literal["same", "taken", "scaled", "other"]
Writes = Literal["all", "part", "update"]
SavedKind = Literal["matmul", "attention"]

if TYPE_CHECKING:
    from typing import TypedDict, Unpack

    class OpFacts(TypedDict, total=False):
        """What `op_rule` may be given: fields of `OpRow`, which explains them."""

        accepts_rank_dependent: bool
        accepts_local_index: bool
        saves: SavesFunction
        uses_rng: Callable[[Operation], bool]
        may_alias: bool
        entries: Entries
        adds_bias: Callable[[Op, str], bool]
        looks_up_rows: bool
        writes: Writes
        inplace_position: int | None
        updates: Callable[[Op], tuple[Any, ...]]
        may_copy: bool
        returns_view: Callable[[Operation], bool]
        saved_as: tuple[SavedKind, ...]
        changes_saved: bool
        ignored_targets: Callable[[Operation], IgnoredTargets | None]


class OpRow(Record):
    """What planc knows of one torch function."""

    infer: RuleFunction | None
    """Gives the types of the results; None: planc has no rule for the operation."""
    accepts_rank_dependent: bool = False
    """Whether the rule understands numbers that differ between ranks."""
    accepts_local_index: bool = False
    """Whether the rule understands positions that each rank counts from the start of its own shard."""
    saves: SavesFunction = saves_unknown
    """The tensors that autograd saves for the backward pass."""
    uses_rng: Callable[[Operation], bool] = never
    """Whether a call draws random numbers."""
    may_alias: bool = True
    """Whether the result may share memory with an operand."""
    entries: Entries = "other"
    """How the result's entries relate to those of the first operand: in the same order equal to them (dtype and shape
    aside); each equal to one of them; in the same order, each multiplied by a factor; or none of these."""
    adds_bias: Callable[[Op, str], bool] = never
    """Whether a call adds the parameter of that name, once and unchanged, to its result."""
    looks_up_rows: bool = False
    """Whether it looks up rows of a table by their numbers, which a rowwise style takes over."""
    writes: Writes = "update"
    """What it does to the tensor that it writes to: all of it, or a part, gets a content that does not depend on the old
    one; or the content changes from what it was."""
    inplace_position: int | None = None
    """The position of the argument `inplace`."""
    updates: Callable[[Op], tuple[Any, ...]] = nothing
    """The arguments that a call changes besides its result, such as running statistics."""
    may_copy: bool = False
    """Whether the result may share memory with an operand, and may also be a copy."""
    returns_view: Callable[[Operation], bool] = never
    """Whether autograd may take the result for a view of a tensor that the operation makes inside."""
    saved_as: tuple[SavedKind, ...] = ()
    """The kinds of operation, as `save(...)` of a recomputed region calls them, whose saved result may be this result or
    share its memory."""
    changes_saved: bool = False
    """Whether torch may compute it of several operations, and change such a result of theirs in place."""
    ignored_targets: Callable[[Operation], IgnoredTargets | None] = ignores_nothing
    """Entries of an operand that a mean leaves out: ranks may have other numbers of them."""


OPS: dict[str, OpRow] = {}
"""The rows, by the name of the torch function. `catalog.find_op` looks them up, with all of them loaded."""


def op_rule(
    *names: str, inplace_variant: bool = False, **facts: Unpack[OpFacts]
) -> Callable[[RuleFunction], RuleFunction]:
    """Make a function the rule of the torch functions with these names.

    Args:
        names: as torch prints them.
        inplace_variant: whether torch has each of them with a `_` too, which returns the tensor that it
            writes to; autograd saves the same there, from a copy where the write destroys it.
        facts: the other fields of `OpRow`.
    """

    def add(rule: RuleFunction) -> RuleFunction:
        infer = _with_constants(rule)
        add_rows(*names, infer=infer, **facts)
        if inplace_variant:
            facts["may_alias"] = True
            add_rows(*(f"{name}_" for name in names), infer=infer, **facts)
        return rule

    return add


def add_rows(*names: str, infer: RuleFunction | None = None, **facts: Unpack[OpFacts]) -> None:
    """Add a row for each name; without `infer`, the operation has no rule.

    Raises:
        ValueError: a name has a row.
    """
    row = OpRow(infer, **facts)
    for name in names:
        if name in OPS:
            raise ValueError(f"operation '{name}' has two rows")
        OPS[name] = row


def _with_constants(rule: RuleFunction) -> RuleFunction:
    """The rule, with the types of replicated tensors that no gradient flows to made CONSTANT."""

    @wraps(rule)
    def infer(operation: Operation) -> SpmdType | tuple[SpmdType, ...]:
        flows = any(result.grad for result in operation.results)
        if any(
            o.type in SAME_ON_ALL_RANKS and o.type is not CONSTANT and not (flows and o.grad)
            for o in operation.operands()
        ):
            operation = operation.with_arguments(
                _as_constant(operation.arguments, flows),
                {name: _as_constant(value, flows) for name, value in operation.keywords.items()},
            )
        given = rule(operation)
        types = given if isinstance(given, tuple) else (given,)
        if len(types) != len(operation.results):
            raise Unsupported(
                f"{operation.name} returned {len(operation.results)} tensors, its rule expects {len(types)}"
            )
        for type_, result in zip(types, operation.results, strict=True):
            if type_ is CONSTANT and result.grad:
                raise Unsupported(
                    f"a gradient flows to the result of {operation.name}, but to none of its operands"
                )
        settled = tuple(
            type_ if result.grad or type_ not in SAME_ON_ALL_RANKS else CONSTANT
            for type_, result in zip(types, operation.results, strict=True)
        )
        return settled[0] if len(settled) == 1 else settled

    return infer


def _as_constant(item: Any, flows: bool) -> Any:
    """An argument whose operands are constants where no gradient flows to them."""

    def constant(operand: Operand) -> Operand:
        if operand.type in SAME_ON_ALL_RANKS and not (flows and operand.grad):
            return Operand(CONSTANT, operand.shape, operand.grad, operand.dtype, operand.origin)
        return operand

    return map_leaves(item, Operand, constant, into=(tuple,))
