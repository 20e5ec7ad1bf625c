"""Rules against numbers: the types that a rule infers are compared with simulated ranks.

A `Case` is a call of a torch function with `T` in the places of its tensors. `sweep` gives
the tensors types, asks the rule, and simulates the ranks: each runs the same call on what
it holds by these types; results and gradients must be what the rule's answer says.
Where the rule refuses, every other answer is tried: one that passes is over-strictness.
"""

from __future__ import annotations

import inspect
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from planc.ir.graph import TensorInfo
from planc.proof.rules.catalog import OPS
from planc.proof.rules.operation import Operation, RuleViolation, Unsupported
from planc.proof.types import (
    AVERAGE,
    CONSTANT,
    INVARIANT,
    PARTIAL,
    REPLICATED,
    SpmdType,
    sharded,
    sharded_dim,
)
from tests.proof.rules.cases import Case, T, local_shards
from tests.proof.rules.row_facts import check_row_facts
from tests.proof.rules.simulation import NumericMismatch, Simulation

__all__ = ["OPS", "Case", "NumericMismatch", "T", "cover", "infer_result_types", "local_shards", "sweep"]

torch.set_num_threads(1)


def infer_or_error(
    operation: Operation, infer: Callable[..., Any] | None = None
) -> tuple[SpmdType, ...] | RuleViolation | Unsupported:
    """The types that the rule infers, or the exception that it raises."""
    try:
        types = (infer or OPS[operation.name].infer)(operation)
    except (RuleViolation, Unsupported) as error:
        return error
    return types if isinstance(types, tuple) else (types,)


def check_inferred_types(simulation: Simulation, types: tuple[SpmdType, ...]) -> None:
    """Raise `NumericMismatch` where the simulated ranks compute something other than these types say."""
    if len(types) != len(simulation.results):
        raise NumericMismatch(f"{len(types)} types for {len(simulation.results)} results")
    try:
        simulation.run_ranks()
    except NumericMismatch:
        raise
    except Exception as error:
        raise NumericMismatch(f"a rank's call fails: {error}") from error
    simulation.check(types)


def find_valid_types(
    simulation: Simulation, redraw: Callable[[int], Simulation]
) -> tuple[SpmdType, ...] | None:
    """Types of the results that agree with the ranks for many random numbers, if there are any."""
    try:
        simulation.run_ranks()
    except Exception:  # noqa: BLE001  # the global call went through, so a rank's is at fault
        return None
    if any(len(own) != len(simulation.results) for own in simulation.local_results):
        return None
    options = [[spmd_type for spmd_type in _candidates(r, simulation) if _agrees(simulation, n, spmd_type)]
               for n, r in enumerate(simulation.results)]  # fmt: skip
    for types in itertools.product(*options):
        try:
            simulation.check(types)
            for draw in range(20):
                check_inferred_types(redraw(draw), types)
        except NumericMismatch:
            continue
        return tuple(types)
    return None


def _candidates(result: torch.Tensor, simulation: Simulation) -> list[SpmdType]:
    replicated = [INVARIANT, REPLICATED] if result.requires_grad else [CONSTANT]
    shards = [sharded(d) for d, size in enumerate(result.shape) if size and size % simulation.ranks == 0]
    means = [AVERAGE] if simulation.averages and result.is_floating_point() else []
    return [*replicated, *shards, PARTIAL, *means]


def _agrees(simulation: Simulation, number: int, spmd_type: SpmdType) -> bool:
    try:
        simulation.check_value(number, spmd_type)
    except (NumericMismatch, RuntimeError):
        return False
    return True


def sweep(
    case: Case,
    ranks: int,
    *,
    seed: int = 0,
    accepted: int = 12,
    refused: int = 6,
    limit: int = 600,
    infer: Callable[..., Any] | None = None,
    known_strict: Callable[[Case, tuple[SpmdType, ...]], str | None] = lambda _case, _types: None,
    averages: bool = False,
) -> Counter[str]:
    """Try a case with operands of every type, and compare the rule's answers with simulated ranks.

    Args:
        case: the call.
        ranks: how many to simulate.
        seed: of the sample of combinations, and of the numbers.
        accepted: compare at most so many combinations that the rule accepts,
        refused: and so many that it refuses.
        limit: try at most so many combinations.
        infer: a rule in the place of the operation's own.
        known_strict: why the rule may refuse what the numbers allow, for a case and its types.
        averages: whether the axis splits the batch and averages gradients.

    Returns:
        How many combinations were `accepted` and compared, `refused`, `strict` (refused for a
        known reason), and `proposed`.
    """
    if infer is None and not case.facts_checked:
        check_row_facts(case)
        case.facts_checked = True
    choices = [t.possible_types(ranks, averages) for t in case.tensors()]
    combinations = list(_some(choices, limit, random.Random(seed)))
    count: Counter[str] = Counter()
    for number, types in enumerate(combinations):
        count["proposed"] += 1
        if count["accepted"] >= accepted and count["refused"] >= refused:
            break
        operands = [str(spmd_type) + ("" if grad else " (no gradient)") for spmd_type, grad in types]
        where = f"{case!r} with {operands} on {ranks} ranks, seed {seed}"
        simulation = Simulation(case, types, ranks, seed + number, averages)
        inferred = infer_or_error(simulation.operation(), infer)
        if isinstance(inferred, tuple):
            if count["accepted"] < accepted:
                count["accepted"] += 1
                try:
                    check_inferred_types(simulation, inferred)
                except NumericMismatch as error:
                    raise NumericMismatch(f"{where} is not {inferred}: {error}") from None
        elif count["refused"] < refused:
            count["refused"] += 1
            found = find_valid_types(
                simulation, partial(_redraw, case, types, ranks, seed + number, averages)
            )
            if found is not None:
                if known_strict(case, tuple(spmd_type for spmd_type, _ in types)) is None:
                    raise NumericMismatch(f"{where} is refused ({inferred}), but is {found}")
                count["strict"] += 1
    return count


def _redraw(
    case: Case, types: tuple[tuple[SpmdType, bool], ...], ranks: int, seed: int, averages: bool, draw: int
) -> Simulation:
    return Simulation(case, types, ranks, seed + 10_000 * (draw + 1), averages)


def _some(choices: list[Any], limit: int, random: random.Random) -> Iterator[Any]:
    """All combinations, or a sample, two in three of which a rule is likely to accept."""
    total = 1
    for options in choices:
        total *= len(options)
    if total <= limit:
        everything = list(itertools.product(*choices))
        random.shuffle(everything)
        yield from everything
        return
    for number in range(limit):
        flavour = (None, "shards", "partial")[number % 3]
        replicated = random.choice((INVARIANT, REPLICATED))
        own = [[o for o in options if _fits(o[0], flavour, replicated)] or options for options in choices]
        yield tuple(random.choice(options) for options in own)


def _fits(spmd_type: SpmdType, flavour: str | None, replicated: SpmdType) -> bool:
    if flavour is None:
        return True
    if flavour == "shards":
        return spmd_type in (CONSTANT, REPLICATED) or sharded_dim(spmd_type) is not None
    partial_too = (CONSTANT, REPLICATED, PARTIAL)
    return spmd_type in (partial_too if replicated is REPLICATED else (CONSTANT, INVARIANT))


def cover(
    cases: list[Case],
    ranks: int,
    min_accepted: int = 70,
    known_strict: Callable[[Case, tuple[SpmdType, ...]], str | None] = lambda _case, _types: None,
    refused: int = 5,
) -> None:
    """Sweep cases until, for each rule, `min_accepted` combinations that it accepts are compared."""
    rules: dict[Any, list[Case]] = {}
    for case in cases:
        rules.setdefault(inspect.unwrap(OPS[case.name].infer), []).append(case)
    for rule, own in rules.items():
        count: Counter[str] = Counter()
        each = max(4, -(-min_accepted // len(own)))
        for seed in range(30):
            for case in own:
                count += sweep(
                    case,
                    ranks,
                    seed=1000 * seed,
                    accepted=each,
                    refused=refused * (seed < 2),
                    known_strict=known_strict,
                )
            if count["accepted"] >= min_accepted:
                break
        assert count["accepted"] >= min_accepted, f"{rule.__name__}: {dict(count)}"


def infer_result_types(name: str, *arguments: Any, results: tuple[tuple[int, ...], ...] | tuple[TensorInfo, ...], ranks: int = 2,
             masks_lookup: bool = False, **keywords: Any) -> Any:  # fmt: skip
    """The types that a rule infers, for results of these global shapes; raises what the rule raises."""
    infos = tuple(r if isinstance(r, TensorInfo) else TensorInfo(r, "float32", True) for r in results)
    return OPS[name].infer(Operation(name, arguments, keywords, infos, ranks, masks_lookup))
