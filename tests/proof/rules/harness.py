"""Rules against numbers: what a rule says of an operation is compared with simulated ranks.

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
from planc.proof.types import CONSTANT, INVARIANT, PARTIAL, REPLICATED, SpmdType, sharded, sharded_dim
from tests.proof.rules.cases import Case, T, local_shards
from tests.proof.rules.row_facts import check_row_facts
from tests.proof.rules.simulation import NumericMismatch, Simulation

__all__ = ["OPS", "Case", "NumericMismatch", "T", "cover", "infer_result_types", "local_shards", "sweep"]

torch.set_num_threads(1)


def infer_or_error(
    operation: Operation, infer: Callable[..., Any] | None = None
) -> tuple[SpmdType, ...] | RuleViolation | Unsupported:
    """What the rule says, as a tuple of types, or why it says nothing."""
    try:
        kinds = (infer or OPS[operation.name].infer)(operation)
    except (RuleViolation, Unsupported) as error:
        return error
    return kinds if isinstance(kinds, tuple) else (kinds,)


def check_inferred_types(simulation: Simulation, types: tuple[SpmdType, ...]) -> None:
    """Raise `Wrong` where the simulated ranks do not bear out these types."""
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
    simulation: Simulation, again: Callable[[int], Simulation]
) -> tuple[SpmdType, ...] | None:
    """Types of the results that the ranks bear out again and again, if there are any."""
    try:
        simulation.run_ranks()
    except Exception:  # noqa: BLE001  # whatever it is, the whole's call went through
        return None
    if any(len(own) != len(simulation.results) for own in simulation.local_results):
        return None
    options = [[kind for kind in _candidates(r, simulation) if _holds(simulation, n, kind)]
               for n, r in enumerate(simulation.results)]  # fmt: skip
    for kinds in itertools.product(*options):
        try:
            simulation.check(kinds)
            for draw in range(20):
                check_inferred_types(again(draw), kinds)
        except NumericMismatch:
            continue
        return tuple(kinds)
    return None


def _candidates(result: torch.Tensor, simulation: Simulation) -> list[SpmdType]:
    whole = [INVARIANT, REPLICATED] if result.requires_grad else [CONSTANT]
    sliced = [sharded(d) for d, size in enumerate(result.shape) if size and size % simulation.ranks == 0]
    return [*whole, *sliced, PARTIAL]


def _holds(simulation: Simulation, number: int, kind: SpmdType) -> bool:
    try:
        simulation.check_value(number, kind)
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
) -> Counter[str]:
    """Give the tensors of a case types, at most `limit` combinations of them, and compare
    at most so many of those that the rule accepts and refuses.

    Args:
        strict: why a rule may refuse what the numbers allow, for a case and its types.

    Returns:
        How many were `accepted` and compared, `refused`, `strict` (refused, for a reason
        that is known), and `proposed`.
    """
    if infer is None and not case.facts_checked:
        check_row_facts(case)
        case.facts_checked = True
    choices = [t.possible_types(ranks) for t in case.tensors()]
    combinations = list(_some(choices, limit, random.Random(seed)))
    count: Counter[str] = Counter()
    for number, types in enumerate(combinations):
        count["proposed"] += 1
        if count["accepted"] >= accepted and count["refused"] >= refused:
            break
        place = f"{case!r} with {[str(k) + ('' if g else ' (no gradient)') for k, g in types]} on {ranks} ranks, seed {seed}"
        simulation = Simulation(case, types, ranks, seed + number)
        kinds = infer_or_error(simulation.operation(), infer)
        if isinstance(kinds, tuple):
            if count["accepted"] < accepted:
                count["accepted"] += 1
                try:
                    check_inferred_types(simulation, kinds)
                except NumericMismatch as error:
                    raise NumericMismatch(f"{place} is not {kinds}: {error}") from None
        elif count["refused"] < refused:
            count["refused"] += 1
            again = partial(_again, case, types, ranks, seed + number)
            found = find_valid_types(simulation, again)
            if found is not None:
                if known_strict(case, tuple(kind for kind, _ in types)) is None:
                    raise NumericMismatch(f"{place} is refused ({kinds}), but is {found}")
                count["strict"] += 1
    return count


def _again(
    case: Case, types: tuple[tuple[SpmdType, bool], ...], ranks: int, seed: int, draw: int
) -> Simulation:
    return Simulation(case, types, ranks, seed + 10_000 * (draw + 1))


def _some(choices: list[Any], limit: int, random: random.Random) -> Iterator[Any]:
    """All combinations, or a sample; two in three of a sample go together more often than not."""
    total = 1
    for options in choices:
        total *= len(options)
    if total <= limit:
        everything = list(itertools.product(*choices))
        random.shuffle(everything)
        yield from everything
        return
    for number in range(limit):
        flavour = (None, "slices", "partial")[number % 3]
        whole = random.choice((INVARIANT, REPLICATED))
        own = [[o for o in options if _fits(o[0], flavour, whole)] or options for options in choices]
        yield tuple(random.choice(options) for options in own)


def _fits(kind: SpmdType, flavour: str | None, whole: SpmdType) -> bool:
    if flavour is None:
        return True
    if flavour == "slices":
        return kind in (CONSTANT, REPLICATED) or sharded_dim(kind) is not None
    return kind in (CONSTANT, REPLICATED, PARTIAL) if whole is REPLICATED else kind in (CONSTANT, INVARIANT)


def cover(
    cases: list[Case],
    ranks: int,
    min_accepted: int = 70,
    known_strict: Callable[[Case, tuple[SpmdType, ...]], str | None] = lambda _case, _types: None,
    refused: int = 5,
) -> None:
    """Sweep cases, until of each rule `least` combinations that it accepts are compared."""
    rules: dict[Any, list[Case]] = {}
    for case in cases:
        rules.setdefault(inspect.unwrap(OPS[case.name].infer), []).append(case)
    for judge, own in rules.items():
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
        assert count["accepted"] >= min_accepted, f"{judge.__name__}: {dict(count)}"


def infer_result_types(name: str, *arguments: Any, results: tuple[tuple[int, ...], ...] | tuple[TensorInfo, ...], ranks: int = 2,
             masks_lookup: bool = False, **keywords: Any) -> Any:  # fmt: skip
    """Ask a rule directly: the shapes of the results are whole; raises what the rule raises."""
    infos = tuple(r if isinstance(r, TensorInfo) else TensorInfo(r, "float32", True) for r in results)
    return OPS[name].infer(Operation(name, arguments, keywords, infos, ranks, masks_lookup))
