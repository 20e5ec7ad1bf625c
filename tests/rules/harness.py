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

from planc.ir.graph import Other, Slice, TensorInfo
from planc.layouts.operation import Differs, NotKnown, Operand, Operation, Refused
from planc.layouts.ops import load
from planc.layouts.types import (
    CONSTANT,
    INVARIANT,
    PARTIAL,
    REPLICATED,
    WHOLE,
    Packed,
    Split,
    Type,
    cut_dim,
    local_shape,
    packed,
    split,
)

RULES = load()
torch.set_num_threads(1)


class Wrong(AssertionError):
    """The rule's answer is not what the ranks compute."""


class T:
    """A tensor of a case. `kind` is float, int (from `low` up to `high`) or bool; `like`
    makes its numbers, from its shape and torch's generator; `types` limits what it can be."""

    def __init__(
        self,
        *shape: int,
        kind: str = "float",
        low: float = -2.0,
        high: float = 2.0,
        like: Callable[[tuple[int, ...], torch.Generator], torch.Tensor] | None = None,
        types: tuple[Type, ...] | None = None,
    ) -> None:
        self.shape, self.kind, self.low, self.high, self.like, self.types = (
            shape,
            kind,
            low,
            high,
            like,
            types,
        )

    def __repr__(self) -> str:
        return f"T{self.shape}" + ("" if self.kind == "float" else self.kind)

    def make(self, generator: torch.Generator) -> torch.Tensor:
        if self.like is not None:
            return self.like(self.shape, generator)
        if self.kind == "bool":
            return torch.rand(self.shape, generator=generator) < 0.5
        if self.kind == "int":
            return torch.randint(int(self.low), int(self.high), self.shape, generator=generator)
        unit = torch.rand(self.shape, generator=generator, dtype=torch.float64)
        return self.low + (self.high - self.low) * unit

    def choices(self, ranks: int) -> list[tuple[Type, bool]]:
        """The types that it can have, each with whether a gradient flows to it."""
        kinds: list[tuple[Type, bool]] = [(CONSTANT, False)]
        flows = (True, False) if self.kind == "float" else (False,)
        if self.kind == "float":
            kinds += [(INVARIANT, True), (REPLICATED, True)]
        for dim, size in enumerate(self.shape):
            if size and size % ranks == 0:
                kinds += [(split(dim), grad) for grad in flows]
            if size >= 2 * ranks and size % ranks == 0:
                parts = (ranks, size - ranks) if size > 2 * ranks else (ranks, ranks)
                kinds += [(packed(dim, parts), flows[0])]
        if self.kind != "bool":
            kinds += [(PARTIAL, grad) for grad in flows]
        return [kind for kind in kinds if self.types is None or kind[0] in self.types]


class Case:
    """A call: the rule's name, the arguments; `call` is what runs where it is no torch
    function of that name, `local` what a rank runs (with `rank` and `ranks` as keywords)."""

    def __init__(
        self,
        name: str,
        *arguments: Any,
        call: Callable[..., Any] | None = None,
        local: Callable[..., Any] | None = None,
        style: str | None = None,
        **keywords: Any,
    ) -> None:
        self.name, self.arguments, self.keywords = name, arguments, keywords
        self.call, self.local, self.style = call or torch_function(name), local, style

    def __repr__(self) -> str:
        given = [*map(repr, self.arguments), *(f"{k}={v!r}" for k, v in self.keywords.items())]
        return f"{self.name}({', '.join(given)})"

    def tensors(self) -> list[T]:
        """In the order in which `Operation.operands` has them; a `T` used twice is two tensors."""
        return list(_leaves((*self.arguments, *self.keywords.values())))


def torch_function(name: str) -> Callable[..., Any]:
    """The torch function with that name."""
    for place in (torch.nn.functional, torch.Tensor, torch):
        if hasattr(place, name):
            return getattr(place, name)  # type: ignore[no-any-return]
    raise LookupError(name)


def _leaves(item: Any) -> Iterator[T]:
    if isinstance(item, T):
        yield item
    elif isinstance(item, tuple | list):
        for part in item:
            yield from _leaves(part)


def fill(item: Any, tensors: Iterator[Any], local: bool | None = None) -> Any:
    """An argument with tensors in the places of `T`. `local`: None for the rule, which sees
    records; False for the run of the whole, True for that of a rank."""
    if isinstance(item, T):
        return next(tensors)
    if isinstance(item, tuple | list):
        parts = [fill(part, tensors, local) for part in item]
        return tuple(parts) if isinstance(item, tuple) or local is None else parts
    if local is None:
        return item
    if isinstance(item, Slice):
        return slice(*(fill(part, tensors, local) for part in (item.start, item.stop, item.step)))
    if isinstance(item, Differs):
        return item.local if local else item.whole
    if isinstance(item, Other):
        return ... if item.text in ("...", "Ellipsis") else getattr(torch, item.text.removeprefix("torch."))
    return item


def share(whole: torch.Tensor, kind: Type, ranks: int, generator: torch.Generator) -> list[torch.Tensor]:
    """What each rank holds."""
    if kind in WHOLE:
        return [whole] * ranks
    if kind is PARTIAL:
        return summands(whole, ranks, generator)
    if isinstance(kind, Split):
        return list(whole.chunk(ranks, kind.dim))
    assert isinstance(kind, Packed)
    pieces = [part.chunk(ranks, kind.dim) for part in whole.split(kind.parts, kind.dim)]
    return [torch.cat(own, kind.dim) for own in zip(*pieces, strict=True)]


def summands(whole: torch.Tensor, ranks: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Random tensors that add up to the whole."""
    if whole.is_floating_point():
        parts = [
            torch.randn(whole.shape, generator=generator, dtype=torch.float64).to(whole.dtype)
            for _ in range(ranks - 1)
        ]
    else:
        parts = [torch.randint(-3, 4, whole.shape, generator=generator) for _ in range(ranks - 1)]
    return [*parts, whole - sum(parts)]


class Simulation:
    """One run of the whole, and one of each rank, for operands with given types."""

    def __init__(self, case: Case, types: tuple[tuple[Type, bool], ...], ranks: int, seed: int) -> None:
        self.case, self.types, self.ranks = case, types, ranks
        self.generator = torch.Generator().manual_seed(seed)
        self.leaves = [
            t.make(self.generator).requires_grad_(grad)
            for t, (_, grad) in zip(case.tensors(), types, strict=True)
        ]
        self.results = run(case.call, case, self.leaves, False)

    def operation(self) -> Operation:
        """As the rule sees it."""
        operands = iter(
            Operand(kind, tuple(leaf.shape), grad, _dtype(leaf))
            for leaf, (kind, grad) in zip(self.leaves, self.types, strict=True)
        )
        arguments = fill(self.case.arguments, operands)
        keywords = {name: fill(value, operands) for name, value in self.case.keywords.items()}
        infos = tuple(TensorInfo(tuple(r.shape), _dtype(r), r.requires_grad) for r in self.results)
        return Operation(self.case.name, arguments, keywords, infos, self.ranks, self.case.style)

    def run_ranks(self) -> None:
        """Run the ranks; an exception is one that a rank's local call raises."""
        held = [
            [part.detach().clone().requires_grad_(leaf.requires_grad) for part in parts]
            for leaf, (kind, _) in zip(self.leaves, self.types, strict=True)
            for parts in (share(leaf.detach(), kind, self.ranks, self.generator),)
        ]
        self.held = [[own[rank] for own in held] for rank in range(self.ranks)]
        self.local = []
        for rank in range(self.ranks):
            extra = {"rank": rank, "ranks": self.ranks} if self.case.local else {}
            self.local.append(
                run(self.case.local or self.case.call, self.case, self.held[rank], True, **extra)
            )

    def check_value(self, number: int, kind: Type) -> None:
        """The numbers of one result against its type."""
        whole, parts = self.results[number], [own[number].detach() for own in self.local]
        if kind is CONSTANT and whole.requires_grad:
            raise Wrong("typed as a constant, but a gradient flows to it")
        if kind in (INVARIANT, REPLICATED) and not whole.requires_grad:
            raise Wrong(f"typed as {kind}, but no gradient flows to it")
        if any(own[number].requires_grad != whole.requires_grad for own in self.local):
            raise Wrong("a gradient flows on a rank or in the whole, but not in both")
        expected = list(share(whole.detach(), kind, self.ranks, self.generator))
        if kind is PARTIAL:
            if whole.dtype == torch.bool:
                raise Wrong("a partial bool")
            parts, expected = [sum(parts[1:], parts[0])], [whole.detach()]
        for rank, (got, want) in enumerate(zip(parts, expected, strict=True)):
            _same(got, want, f"result {number} as {kind} on rank {rank}")

    def check_gradients(self, kinds: tuple[Type, ...]) -> None:
        """Of every operand, for random gradients of the results."""
        pairs = [(n, k) for n, k in enumerate(kinds) if self.results[n].requires_grad]
        if not pairs:
            return
        given = [_random(self.results[n], self.generator) for n, _ in pairs]
        shares = [self._cotangents(g, kind) for g, (_, kind) in zip(given, pairs, strict=True)]
        whole = _gradients([self.results[n] for n, _ in pairs], self.leaves, given)
        ranks = [
            _gradients([own[n] for n, _ in pairs], self.held[rank], [s[rank] for s in shares])
            for rank, own in enumerate(self.local)
        ]
        for number, (kind, grad) in enumerate(self.types):
            if grad:
                self._check_gradient(number, kind, whole[number], [own[number] for own in ranks])

    def _cotangents(self, given: torch.Tensor, kind: Type) -> list[torch.Tensor]:
        if kind is REPLICATED:
            return summands(given, self.ranks, self.generator)
        return [given] * self.ranks if kind is PARTIAL else share(given, kind, self.ranks, self.generator)

    def _check_gradient(
        self, number: int, kind: Type, whole: torch.Tensor, parts: list[torch.Tensor]
    ) -> None:
        if kind is REPLICATED:
            parts, expected = [sum(parts[1:], parts[0])], [whole]
        elif kind is PARTIAL:
            expected = [whole] * self.ranks
        else:
            expected = share(whole, kind, self.ranks, self.generator)
        for rank, (got, want) in enumerate(zip(parts, expected, strict=True)):
            _same(got, want, f"the gradient of operand {number} ({kind}) on rank {rank}", self.near())

    def near(self) -> float:
        """How exact gradients are: they pass through the dtypes of the results."""
        return max(TOLERANCE.get(result.dtype, 0.0) for result in self.results)

    def check(self, kinds: tuple[Type, ...]) -> None:
        """Everything."""
        if any(len(own) != len(kinds) for own in self.local):
            raise Wrong("a rank's call gives another number of results")
        for number, kind in enumerate(kinds):
            dim = cut_dim(kind)
            shape = tuple(self.results[number].shape)
            if dim is not None and (dim >= len(shape) or shape[dim] % self.ranks):
                raise Wrong(f"result {number} of shape {shape} cannot be {kind}")
            for own in self.local:
                if tuple(own[number].shape) != local_shape(shape, kind, self.ranks):
                    raise Wrong(
                        f"result {number} has shape {tuple(own[number].shape)} on a rank, not as {kind}"
                    )
            self.check_value(number, kind)
        self.check_gradients(kinds)


def run(
    call: Callable[..., Any], case: Case, leaves: list[torch.Tensor], local: bool, **extra: Any
) -> list[torch.Tensor]:
    # Copies, so that an operation in place may change them.
    tensors = iter([leaf.clone() for leaf in leaves])
    arguments = fill(tuple(case.arguments), tensors, local)
    keywords = {name: fill(value, tensors, local) for name, value in case.keywords.items()}
    result = call(*arguments, **keywords, **extra)
    return (
        [result] if isinstance(result, torch.Tensor) else [r for r in result if isinstance(r, torch.Tensor)]
    )


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _random(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like.dtype)


def _gradients(
    results: list[torch.Tensor], leaves: list[torch.Tensor], given: list[torch.Tensor]
) -> list[torch.Tensor]:
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    found = iter(
        torch.autograd.grad(
            results, wanted, given, retain_graph=True, allow_unused=True, materialize_grads=True
        )
    )
    return [next(found) if leaf.requires_grad else leaf for leaf in leaves]


TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 0.05, torch.bfloat16: 0.2}


def _same(got: torch.Tensor, want: torch.Tensor, what: str, near: float = 0.0) -> None:
    if got.shape != want.shape:
        raise Wrong(f"{what} has shape {tuple(got.shape)} instead of {tuple(want.shape)}")
    near = max(near, TOLERANCE.get(got.dtype, 0.0))
    if not torch.allclose(got, want.to(got.dtype), near, near, equal_nan=True):
        raise Wrong(f"{what} has other numbers: {got.flatten()[:6]} instead of {want.flatten()[:6]}")


def answer(
    operation: Operation, judge: Callable[..., Any] | None = None
) -> tuple[Type, ...] | Refused | NotKnown:
    """What the rule says, as a tuple of types, or why it says nothing."""
    try:
        kinds = (judge or RULES[operation.name].judge)(operation)
    except (Refused, NotKnown) as error:
        return error
    return kinds if isinstance(kinds, tuple) else (kinds,)


def prove(simulation: Simulation, kinds: tuple[Type, ...]) -> None:
    """Raise `Wrong` where the simulated ranks do not bear out these types."""
    if len(kinds) != len(simulation.results):
        raise Wrong(f"{len(kinds)} types for {len(simulation.results)} results")
    try:
        simulation.run_ranks()
    except Wrong:
        raise
    except Exception as error:
        raise Wrong(f"a rank's call fails: {error}") from error
    simulation.check(kinds)


def other_answer(simulation: Simulation, again: Callable[[int], Simulation]) -> tuple[Type, ...] | None:
    """Types of the results that the ranks bear out again and again, if there are any."""
    try:
        simulation.run_ranks()
    except Exception:  # noqa: BLE001  # whatever it is, the whole's call went through
        return None
    if any(len(own) != len(simulation.results) for own in simulation.local):
        return None
    options = [[kind for kind in _candidates(r, simulation) if _holds(simulation, n, kind)]
               for n, r in enumerate(simulation.results)]  # fmt: skip
    for kinds in itertools.product(*options):
        try:
            simulation.check(kinds)
            for draw in range(8):
                prove(again(draw), kinds)
        except Wrong:
            continue
        return tuple(kinds)
    return None


def _candidates(result: torch.Tensor, simulation: Simulation) -> list[Type]:
    whole = [INVARIANT, REPLICATED] if result.requires_grad else [CONSTANT]
    sliced = [split(d) for d, size in enumerate(result.shape) if size and size % simulation.ranks == 0]
    return [*whole, *sliced, PARTIAL]


def _holds(simulation: Simulation, number: int, kind: Type) -> bool:
    try:
        simulation.check_value(number, kind)
    except (Wrong, RuntimeError):
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
    judge: Callable[..., Any] | None = None,
    strict: Callable[[Case, tuple[Type, ...]], str | None] = lambda _case, _types: None,
) -> Counter[str]:
    """Give the tensors of a case types, at most `limit` combinations of them, and compare
    at most so many of those that the rule accepts and refuses.

    Args:
        strict: why a rule may refuse what the numbers allow, for a case and its types.

    Returns:
        How many were `accepted` and compared, `refused`, `strict` (refused, for a reason
        that is known), and `proposed`.
    """
    choices = [t.choices(ranks) for t in case.tensors()]
    combinations = list(_some(choices, limit, random.Random(seed)))
    count: Counter[str] = Counter()
    for number, types in enumerate(combinations):
        count["proposed"] += 1
        if count["accepted"] >= accepted and count["refused"] >= refused:
            break
        place = f"{case!r} with {[str(k) + ('' if g else ' (no gradient)') for k, g in types]} on {ranks} ranks, seed {seed}"
        simulation = Simulation(case, types, ranks, seed + number)
        kinds = answer(simulation.operation(), judge)
        if isinstance(kinds, tuple):
            if count["accepted"] < accepted:
                count["accepted"] += 1
                try:
                    prove(simulation, kinds)
                except Wrong as error:
                    raise Wrong(f"{place} is not {kinds}: {error}") from None
        elif count["refused"] < refused:
            count["refused"] += 1
            again = partial(_again, case, types, ranks, seed + number)
            found = other_answer(simulation, again)
            if found is not None:
                if strict(case, tuple(kind for kind, _ in types)) is None:
                    raise Wrong(f"{place} is refused ({kinds}), but is {found}")
                count["strict"] += 1
    return count


def _again(case: Case, types: tuple[tuple[Type, bool], ...], ranks: int, seed: int, draw: int) -> Simulation:
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


def _fits(kind: Type, flavour: str | None, whole: Type) -> bool:
    if flavour is None:
        return True
    if flavour == "slices":
        return kind in (CONSTANT, REPLICATED) or cut_dim(kind) is not None
    return kind in (CONSTANT, REPLICATED, PARTIAL) if whole is REPLICATED else kind in (CONSTANT, INVARIANT)


def cover(
    cases: list[Case],
    ranks: int,
    least: int = 70,
    strict: Callable[[Case, tuple[Type, ...]], str | None] = lambda _case, _types: None,
    refused: int = 5,
) -> None:
    """Sweep cases, until of each rule `least` combinations that it accepts are compared."""
    rules: dict[Any, list[Case]] = {}
    for case in cases:
        rules.setdefault(inspect.unwrap(RULES[case.name].judge), []).append(case)
    for judge, own in rules.items():
        count: Counter[str] = Counter()
        each = max(4, -(-least // len(own)))
        for seed in range(30):
            for case in own:
                count += sweep(
                    case, ranks, seed=1000 * seed, accepted=each, refused=refused * (seed < 2), strict=strict
                )
            if count["accepted"] >= least:
                break
        assert count["accepted"] >= least, f"{judge.__name__}: {dict(count)}"


def types_of(name: str, *arguments: Any, results: tuple[tuple[int, ...], ...] | tuple[TensorInfo, ...], ranks: int = 2,
             style: str | None = None, **keywords: Any) -> Any:  # fmt: skip
    """Ask a rule directly: the shapes of the results are whole; raises what the rule raises."""
    infos = tuple(r if isinstance(r, TensorInfo) else TensorInfo(r, "float32", True) for r in results)
    return RULES[name].judge(Operation(name, arguments, keywords, infos, ranks, style))
