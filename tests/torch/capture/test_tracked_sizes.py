"""Numbers that remember their origin: ints to everybody else."""

from __future__ import annotations

import copy
import math
import operator
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc.ir.graph import SymNumber, Value

pytest.importorskip("torch")

from planc.torch.capture.tracked_arithmetic import (
    MAX_FORMULA_TERMS,
    TrackedFloat,
    TrackedInt,
    untrack,
    value_of,
)


class Notes:
    """What was written down."""

    def __init__(self) -> None:
        self.all: list[tuple[str, tuple[Any, ...]]] = []

    def record_use(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.all.append((name, arguments))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.all]


def tracked(value: int, notes: Notes | None = None) -> TrackedInt:
    return TrackedInt(value, SymNumber("size", (Value(0), 1), value), notes or Notes())


def evaluated(source: Any, leaf: int) -> Any:
    """The number that a formula says."""
    if not isinstance(source, SymNumber):
        return source
    if source.op == "size":
        return leaf
    return getattr(operator, source.op)(*(evaluated(part, leaf) for part in source.arguments))


def outcome(operation: Callable[..., Any], *operands: Any) -> Any:
    """What an operation gives or raises."""
    try:
        return operation(*operands)
    except (ArithmeticError, ValueError, TypeError) as bad:
        return type(bad)


BINARY = [operator.add, operator.sub, operator.mul, operator.floordiv, operator.truediv, operator.mod, divmod]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
INTS = st.integers(-(10**6), 10**6)
OTHERS = INTS | st.floats(-1e6, 1e6) | st.booleans()


@given(INTS, OTHERS, st.sampled_from(BINARY), st.booleans())
def test_arithmetic_is_that_of_plain_numbers(
    number: int, other: Any, operation: Callable[..., Any], mirrored: bool
) -> None:
    mine, yours = (other, tracked(number)), (other, number)
    if not mirrored:
        mine, yours = mine[::-1], yours[::-1]
    got, expected = outcome(operation, *mine), outcome(operation, *yours)
    assert untrack(got) == expected or (expected != expected and got != got)
    assert type(untrack(got)) is type(expected)
    for part in got if isinstance(got, tuple) else (got,):
        if isinstance(part, TrackedInt | TrackedFloat):
            assert evaluated(part.origin, number) == value_of(part) == part.origin.captured


@given(INTS, OTHERS, st.sampled_from(COMPARISONS))
def test_comparison_is_that_of_plain_numbers_and_is_noted(
    number: int, other: Any, operation: Callable[..., Any]
) -> None:
    notes = Notes()
    assert operation(tracked(number, notes), other) == operation(number, other)
    assert notes.names == ["number.compare"]


@given(st.integers(-20, 20), st.integers(-20, 20))
def test_powers(base: int, exponent: int) -> None:
    for one, other in (
        (tracked(base), exponent),
        (base, tracked(exponent)),
        (tracked(base), tracked(exponent)),
    ):
        assert untrack(outcome(operator.pow, one, other)) == outcome(operator.pow, base, exponent)


@given(INTS)
def test_an_int_like_others(number: int) -> None:
    mine = tracked(number)
    assert (int(mine), float(mine), str(mine), repr(mine), hash(mine)) == (
        number, float(number), str(number), repr(number), hash(number)
    )  # fmt: skip
    assert f"{mine:>9}" == f"{number:>9}"
    assert (-mine, +mine, abs(mine), bool(mine), mine & 7, mine | 8, mine ^ 3, ~mine) == (
        -number, number, abs(number), bool(number), number & 7, number | 8, number ^ 3, ~number
    )  # fmt: skip
    assert {number: "found"}[mine] == "found"
    assert mine == number
    assert isinstance(mine, int)
    assert not isinstance(mine, bool)


@given(INTS, st.integers(1, 1000))
def test_rounding(number: int, divisor: int) -> None:
    quotient = tracked(number) / divisor
    for kind in (math.floor, math.ceil):
        got = kind(quotient)
        assert got == kind(number / divisor)
        assert evaluated(got.origin, number) == value_of(got)
    assert round(quotient) == round(number / divisor)
    assert math.sqrt(abs(quotient)) == math.sqrt(abs(number / divisor))


@pytest.mark.parametrize("take", [int, float, math.sqrt, round, math.trunc, hash, abs, operator.invert])
def test_taking_the_bare_number_is_noted(take: Callable[[Any], Any]) -> None:
    notes = Notes()
    assert type(take(tracked(5, notes))) in (int, float)
    if take is not round:  # of an int: itself
        assert "number.lost" in notes.names


def test_truth_is_a_comparison_with_zero() -> None:
    notes = Notes()
    assert tracked(3, notes)
    assert notes.all == [("number.compare", ("ne", SymNumber("size", (Value(0), 1), 3), 0))]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_keep_the_origin(copied: Callable[[Any], Any]) -> None:
    for number in (tracked(7), tracked(7) / 2):
        assert copied([number])[0].origin == number.origin


def test_a_pickle_is_plain_and_noted() -> None:
    notes = Notes()
    for number in (tracked(7, notes), tracked(7, notes) / 2):
        made = pickle.loads(pickle.dumps(number))
        assert made == value_of(number)
        assert type(made) in (int, float)
    assert notes.names[:2] == ["number.lost", "number.lost"]


@pytest.mark.parametrize(
    "take",
    [range, bytes, operator.index, str, "{:d}".format, lambda n: [0] * n, lambda n: [1, 2, 3][:n],
     lambda n: math.log(n / 2), lambda n: 1j * n, lambda n: pow(n, 2, 3)],
    ids=range(10),
)  # fmt: skip
def test_c_code_has_to_ask(take: Callable[[Any], Any]) -> None:
    notes = Notes()
    take(tracked(5, notes))
    assert "number.lost" in notes.names


def test_what_c_code_leaves_to_us_is_followed() -> None:
    for number in (1.0 / tracked(5), True * tracked(5), 2.0 ** tracked(5), 0.5 * (tracked(5) / 2)):
        assert isinstance(number, TrackedInt | TrackedFloat)
        assert evaluated(number.origin, 5) == value_of(number)


def test_an_attribute_that_is_an_index_is_noted_apart() -> None:
    notes = Notes()
    number = TrackedInt(3, SymNumber("attribute", ("/:depth",), 3), notes)
    assert [1, 2, 3, 4][:number] == [1, 2, 3]
    assert f"{number + 1}" == "4"
    assert notes.names == ["number.maybe_escaped", "number.maybe_escaped"]


def test_its_class_makes_plain_numbers() -> None:
    assert type(type(tracked(5))(3)) is int
    assert type(type(tracked(5) / 2)("1.5")) is float


def test_a_formula_that_grows_at_each_turn_is_forgotten() -> None:
    notes = Notes()
    number: Any = tracked(1, notes)
    for _ in range(40):
        number = number + number
    assert number == 2**40
    assert type(number) is int
    assert "number.lost" in notes.names
    assert MAX_FORMULA_TERMS < 2**40


def test_numbers_without_bound_are_plain() -> None:
    for value in (tracked(2) ** 100, tracked(10**18) * 10**18, tracked(1) * float("inf"), 2 ** tracked(100)):
        assert type(value) in (int, float)


def test_others_decide_what_a_sum_with_them_is() -> None:
    assert tracked(3) + 1j == 3 + 1j
    assert [0] * tracked(3) == [0, 0, 0]
    with pytest.raises(TypeError):
        tracked(3) + "text"  # type: ignore[operator]
