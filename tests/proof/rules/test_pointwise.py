"""Rules of pointwise operations, casts, activations, selections."""

from __future__ import annotations

import inspect

import pytest
import torch

from planc.ir.graph import TensorInfo, TorchConstant
from planc.proof.rules.catalog import OPS
from planc.proof.rules.operation import Operand, RuleViolation, Unsupported
from planc.proof.rules.pointwise import pointwise_rule
from planc.proof.types import CONSTANT, INVARIANT, PARTIAL, REPLICATED, sharded
from tests.proof.rules.harness import Case, T, cover, infer_result_types
from tests.proof.rules.known_strictness import known_strictness

NAMES = [name for name, row in OPS.items() if row.infer and inspect.unwrap(row.infer) is pointwise_rule]
RANKS = pytest.mark.parametrize("ranks", [2, 3, 4])
_TWO = """polar pow float_power remainder fmod floor_divide xlogy hypot logaddexp atan2 eq ne lt le gt ge greater less
greater_equal less_equal not_equal maximum minimum fmax fmin isclose __eq__ __ne__ __lt__ __le__ __gt__ __ge__
__pow__ __rpow__ __ipow__ __mod__ __rmod__ __imod__ __floordiv__ __rfloordiv__ __ifloordiv__""".split()  # noqa: SIM905
_BOOLEAN = """logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor __and__ __rand__ __iand__
__or__ __ror__ __ior__ __xor__ __rxor__ __ixor__""".split()  # noqa: SIM905
_SHIFTS = """bitwise_left_shift bitwise_right_shift __lshift__ __rlshift__ __ilshift__ __rshift__ __rrshift__
__irshift__""".split()  # noqa: SIM905
_ARGUMENTS = {
    "clamp": (-0.5, 0.7),
    "clip": (-0.5, 0.7),
    "clamp_min": (0.1,),
    "clamp_max": (0.1,),
    "threshold": (0.1, 0.3),
}
_BACKWARDS = (
    "__rpow__", "__rmod__", "__rfloordiv__", "__rand__", "__ror__", "__rxor__", "__rlshift__", "__rrshift__",
)  # fmt: skip
_NO_GRADIENT = ("polar", "__rmod__", "floor_divide", "__floordiv__", "__rfloordiv__", "__ifloordiv__")
_INTEGERS = ("logical_not", "__invert__", "bitwise_not")


def positive(shape, generator):
    return 0.1 + 0.8 * torch.rand(shape, generator=generator, dtype=torch.float64)


def uniform(shape, generator):
    return 4 * torch.rand(shape, generator=generator, dtype=torch.float64) - 2


def _tensors(name, *shapes):
    """Tensors that the function takes, in the shapes that it is tried with."""
    name = name.rstrip("_") if not name.startswith("__") else name
    if name in _SHIFTS:
        return [T(*shape, kind="int", low=0, high=5) for shape in shapes]
    if name in _BOOLEAN or name in _INTEGERS:
        return [T(*shape, kind="bool") for shape in shapes]
    if name in ("eq", "ne", "not_equal", "isclose", "__eq__", "__ne__"):
        return [T(*shape, kind="int", low=0, high=3) for shape in shapes]
    if name in _NO_GRADIENT:
        return [T(*shape, kind="int", like=positive) for shape in shapes]
    return [T(*shape, like=positive) for shape in shapes]


def _callable(name):
    """It, where torch has it."""
    for place in (torch.Tensor, torch.nn.functional, torch):
        if hasattr(place, name):
            return getattr(place, name)
    return None


def _cases(names, n):
    for name in names:
        call = _callable(name)
        base = name.removesuffix("_") if not name.startswith("__") else name
        if call is None:
            continue
        if base in (*_TWO, *_BOOLEAN, *_SHIFTS):
            if name in _BACKWARDS:
                yield Case(name, *_tensors(name, (n, 2)), True if base in _BOOLEAN else 2, call=call)
            else:
                yield Case(name, *_tensors(name, (n, 2, n), (2, 1)), call=call)
            if base in _TWO and base not in ("polar", "xlogy", "hypot", "logaddexp", "atan2", "maximum", "minimum",
                                             "fmax", "fmin", "isclose"):  # fmt: skip
                yield Case(
                    name,
                    *_tensors(name, (n, 2)),
                    1.5 if base not in ("eq", "ne", "not_equal", "__eq__", "__ne__") else 1,
                    call=call,
                )
        else:
            yield Case(name, *_tensors(name, (2, n)), *_ARGUMENTS.get(base, ()), call=call)


@RANKS
def test_functions(ranks):
    names = [name for name in NAMES if name.startswith("__") or not name.endswith("_")]
    missing = {name for name in names if _callable(name) is None}
    assert missing == set(), missing
    cover(list(_cases(names, ranks)), ranks, min_accepted=500, refused=2, known_strict=known_strictness)


@RANKS
def test_functions_in_place(ranks):
    names = [name for name in NAMES if name.endswith("_") and not name.startswith("__")]
    cover(list(_cases(names, ranks)), ranks, min_accepted=200, refused=1, known_strict=known_strictness)


@RANKS
def test_sums(ranks):
    n = ranks
    names = (
        "add",
        "sub",
        "rsub",
        "__add__",
        "__sub__",
        "__radd__",
        "__rsub__",
        "__iadd__",
        "__isub__",
        "add_",
        "subtract",
        "subtract_",
        "sub_",
    )
    cover([
        *(Case(name, T(2, n), T(n), call=_callable(name)) for name in names if name != "__rsub__"),
        *(Case(name, T(n, n), 2.0, call=_callable(name)) for name in names),
        Case("add", T(2, n), T(2, n), alpha=0.5),
        Case("add", T(n, 1, n), T(n, 1), call=torch.add),
        Case("__add__", T(n, n, kind="int"), T(n, kind="int")),
        Case("add", T(n, n), T(n, kind="int")),
    ], ranks, known_strict=known_strictness)  # fmt: skip


@RANKS
def test_products_and_quotients(ranks):
    n = ranks
    below = T(n, like=positive)
    cover([
        *(Case(name, T(2, n), T(n), call=_callable(name)) for name in
          ("mul", "multiply", "multiply_", "__mul__", "__rmul__", "__imul__", "mul_")),
        *(Case(name, T(2, n), T(1, n, like=positive), call=_callable(name)) for name in
          ("div", "true_divide", "__truediv__", "__itruediv__", "div_", "divide", "divide_", "true_divide_", "__div__", "__idiv__")),
        *(Case(name, T(2, n), 2.0, call=_callable(name)) for name in ("mul", "div", "__rmul__", "__truediv__")),
        *(Case(name, T(2, n, like=positive), 2.0, call=_callable(name)) for name in ("__rtruediv__", "__rdiv__")),
        Case("div", T(n, n), below, rounding_mode="floor", call=torch.div),
        Case("div", T(2, n, kind="int"), 2),
        Case("mul", T(2, n, kind="int"), T(n)),
        Case("mul", T(2, n), T(n, kind="bool")),
    ], ranks, known_strict=known_strictness)  # fmt: skip


@RANKS
def test_linear(ranks):
    names = """neg negative positive neg_ negative_ __neg__ __pos__ clone contiguous detach detach_ deg2rad
    rad2deg""".split()  # noqa: SIM905
    cover(
        [Case(name, T(2, ranks), call=_callable(name)) for name in names],
        ranks,
        known_strict=known_strictness,
    )


@RANKS
def test_casts(ranks):
    names = ("float", "double", "half", "bfloat16", "long", "int", "short", "byte", "char", "bool")
    n = ranks
    cover([
        *(Case(name, T(2, n), call=getattr(torch.Tensor, name)) for name in names),
        *(Case(name, T(2, n, kind="int"), call=getattr(torch.Tensor, name)) for name in names),
        Case("to", T(n, n), TorchConstant("torch.float32")),
        Case("to", T(n, n), T(2)),
        Case("to", T(n, n), T(2, kind="int")),
        Case("to", T(n, n), dtype=TorchConstant("float64")),
        Case("to", T(n, n), "cpu"),
        Case("type_as", T(n, n), T(3)),
        Case("type", T(n, n), TorchConstant("float32")),
        Case("cpu", T(n, n)),
    ], ranks, known_strict=known_strictness)  # fmt: skip


@RANKS
def test_activations(ranks):
    n = ranks
    cover([
        Case("dropout", T(2, n), p=0.0, training=True),
        Case("dropout", T(2, n), 0.3, False),
        Case("gelu", T(2, n), approximate="tanh"),
        Case("softplus", T(2, n), 1, 20),
        Case("leaky_relu", T(2, n), 0.2, inplace=True),
            Case("dropout_", T(2, n), 0.0, True, call=torch.dropout_),
        Case("glu", T(2, 2 * n), -1),
        Case("glu", T(n, 4 * n), dim=0) if n % 2 == 0 else Case("glu", T(n, 2 * n)),
        Case("prelu", T(2, n), T(n)),
        Case("prelu", T(2, n, n), T(1)),
    ], ranks, known_strict=known_strictness)  # fmt: skip


@RANKS
def test_selections(ranks):
    n, torch_where = ranks, torch.where
    cover([
        Case("where", T(n, n, kind="bool"), T(n, n), T(n), call=torch_where),
        Case("where", T(1, n, kind="bool"), T(n, 1), 0.0, call=torch_where),
        Case("where", T(n, n, kind="bool"), T(n, n), 1.0, call=torch_where),
        Case("where", T(n, n), T(n, n, kind="bool"), T(n, n), call=torch.Tensor.where),
        Case("masked_fill", T(n, n), T(n, kind="bool"), 0.0),
        Case("masked_fill", T(n, n), mask=T(n, kind="bool"), value=-5.0),
        Case("masked_fill", T(n, n), T(n, kind="bool"), T()),
        Case("masked_fill_", T(n, n), T(n, n, kind="bool"), 0),
        Case("addcmul", T(n, n), T(n), T(n, 1), value=2),
        Case("lerp", T(n, n), T(n, n), 0.3),
            Case("lerp_", T(n, n), T(n, n), 0.3),
            Case("addcmul_", T(n, n), T(n), T(n, 1)),
            Case("addcdiv", T(n, n), T(n), T(n, 1, like=positive)),
            Case("addcdiv_", T(n, n), T(n), T(n, 1, like=positive)),
        Case("copy_", T(n, n), T(n)),
        Case("copy_", T(n, n, kind="int"), T(n, kind="int", like=uniform)),
        Case("fill_", T(n, n), 2.0),
        Case("fill_", T(n, n), 0),
        Case("zero_", T(n, n)),
    ], ranks, known_strict=known_strictness)  # fmt: skip


def test_dropout_of_a_partial_value_is_refused():
    with pytest.raises(RuleViolation) as caught:
        infer_result_types("dropout", Operand(PARTIAL, (2, 4)), 0.1, results=((2, 4),))
    assert caught.value.law == "partial"
    assert infer_result_types(
        "dropout", Operand(sharded(1), (2, 4)), p=0.1, training=True, results=((2, 4),)
    ) is sharded(1)


def test_an_operation_in_place_keeps_the_type():
    whole, cut = Operand(INVARIANT, (4, 4)), Operand(sharded(1), (4, 4))
    assert infer_result_types("add_", cut, cut, results=((4, 4),)) is sharded(1)
    assert infer_result_types("__iadd__", whole, 1.0, results=((4, 4),)) is INVARIANT
    assert (
        infer_result_types("add_", Operand(CONSTANT, (4, 4), grad=False), whole, results=((4, 4),))
        is INVARIANT
    )
    with pytest.raises(Unsupported):
        infer_result_types("mul_", Operand(REPLICATED, (4, 4)), Operand(PARTIAL, (4, 4)), results=((4, 4),))


def test_the_argument_out_is_unsupported():
    x = Operand(INVARIANT, (4, 4))
    with pytest.raises(Unsupported):
        infer_result_types("add", x, x, out=x, results=((4, 4),))


def test_a_replicated_operand_with_a_sharded_one_breaks_gradients_only():
    whole, cut = Operand(INVARIANT, (4,)), Operand(sharded(0), (4, 4))
    with pytest.raises(RuleViolation) as caught:
        infer_result_types("mul", cut, whole, results=((4, 4),))
    assert caught.value.law == "gradient"
    assert infer_result_types("gt", cut, whole, results=(TensorInfo((4, 4), "bool"),)) is sharded(0)
