"""Pointwise operations: an entry of the result depends on the entries at the same position alone."""

from __future__ import annotations

from planc.ir.graph import Op
from planc.proof.batch_causes import UnequalCounts
from planc.proof.rules.averages import mean_of_sum
from planc.proof.rules.einsum_rule import DimLabels, LabeledOperand, einsum_rule
from planc.proof.rules.inplace import inplace_type, is_inplace
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import SavedTensor, saved_sources, saves, saves_factors, saves_nothing
from planc.proof.types import PARTIAL, SpmdType
from planc.proof.violations import PartialOperand


def broadcast_labels(operand: Operand, shape: tuple[int, ...]) -> DimLabels:
    """The dims of an operand, by the dims of the result that it broadcasts to; None for one that it expands."""
    missing = len(shape) - operand.ndim
    if missing < 0:
        raise Unsupported("an operand has more dims than the result")
    return tuple(
        None if size == 1 and shape[missing + d] != 1 else missing + d for d, size in enumerate(operand.shape)
    )


def broadcast_operands(operation: Operation) -> tuple[list[LabeledOperand], DimLabels]:
    """The operands of a pointwise operation with labels, and the labels of its result."""
    if operation.keywords.get("out") is not None:
        raise Unsupported(f"{operation.name} with the argument 'out'")
    shape = operation.results[0].shape
    return [(o, broadcast_labels(o, shape)) for o in operation.operands()], tuple(range(len(shape)))


def pointwise_result_type(operation: Operation, computed: SpmdType) -> SpmdType:
    """The type of the result: what the operation computes, or in place, the tensor that it writes to."""
    return inplace_type(operation, computed) if is_inplace(operation) else computed


def div_saves(operation: Operation) -> tuple[SavedTensor, ...]:
    """y for both gradients of x / y, and x for that of y."""
    operands = operation.operands()
    if len(operands) < 2:
        return ()
    return saved_sources(operation, (0, 1) if operands[1].grad else (1,))


def pow_saves(operation: Operation) -> tuple[SavedTensor, ...]:
    """x for x ** 2; x, y and the result for x ** y."""
    return saved_sources(operation, (0, 1, "result") if len(operation.operands()) > 1 else (0,))


def add_adds_bias(step: Op, _: str) -> bool:
    """Whether an addition has two operands and no factor."""
    return not step.keywords and len(step.arguments) == 2


@op_rule(
    "exp", "exp2", "expm1", "sqrt", "rsqrt", "reciprocal", "tan", "tanh", "sigmoid",
    inplace_variant=True, saves=saves("result"), may_alias=False,
)  # fmt: skip
@op_rule("relu", inplace_variant=True, saves=saves("result"), may_alias=False, inplace_position=1)
@op_rule("relu6", "selu", inplace_variant=True, saves=saves(0), may_alias=False, inplace_position=1)
@op_rule("silu", "mish", "hardswish", "hardsigmoid", saves=saves(0), may_alias=False, inplace_position=1)
@op_rule(
    "elu", "celu", "leaky_relu", inplace_variant=True, saves=saves(0), may_alias=False, inplace_position=2
)
@op_rule("hardtanh", "threshold", inplace_variant=True, saves=saves(0), may_alias=False, inplace_position=3)
@op_rule(
    "abs", "absolute", "log", "log2", "log10", "log1p", "square", "sin", "cos", "asin", "acos", "atan",
    "arctan", "sinh", "cosh", "erf", "erfc", "erfinv", "logit", "lgamma", "digamma", "sinc", "clamp",
    "clip", "clamp_min", "clamp_max", "nan_to_num", inplace_variant=True, saves=saves(0), may_alias=False,
)  # fmt: skip
@op_rule(
    "gelu", "softplus", "hardshrink", "softshrink", "__abs__", saves=saves(0), may_alias=False,
)  # fmt: skip
@op_rule(
    "sign", "floor", "ceil", "round", "trunc", "fix", "frac", "floor_divide", "eq", "ne", "lt", "le", "gt",
    "ge", "greater", "less", "greater_equal", "less_equal", "not_equal", "logical_and", "logical_or",
    "logical_not", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not",
    "bitwise_left_shift", "bitwise_right_shift", inplace_variant=True, saves=saves_nothing, may_alias=False,
)  # fmt: skip
@op_rule(
    "isnan", "isinf", "isfinite", "isclose", "isposinf", "isneginf", "signbit", "__invert__", "__eq__",
    "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__floordiv__", "__rfloordiv__", "__and__",
    "__rand__", "__or__", "__ror__", "__xor__", "__rxor__", "__lshift__", "__rlshift__", "__rshift__",
    "__rrshift__", saves=saves_nothing, may_alias=False,
)  # fmt: skip
@op_rule("atan2", inplace_variant=True, saves=saves(0, 1), may_alias=False)
@op_rule("maximum", "minimum", "fmax", "fmin", saves=saves(0, 1), may_alias=False)
@op_rule("hypot", inplace_variant=True, saves=saves(0, 1, "result"), may_alias=False)
@op_rule("pow", inplace_variant=True, saves=pow_saves, may_alias=False)
@op_rule("__pow__", saves=pow_saves, may_alias=False)
@op_rule(
    "sgn", "float_power", "remainder", "fmod", "xlogy", "logaddexp", inplace_variant=True, may_alias=False,
)  # fmt: skip
@op_rule("softsign", "logsigmoid", "tanhshrink", "polar", "__rpow__", "__mod__", "__rmod__", may_alias=False)
@op_rule("__ipow__", "__imod__", "__ifloordiv__", "__iand__", "__ior__", "__ixor__", "__ilshift__", "__irshift__")  # fmt: skip
def pointwise_rule(operation: Operation) -> SpmdType:
    """tensors that broadcast -> as the largest, or as the tensor that it writes to"""
    return pointwise_result_type(operation, einsum_rule(*broadcast_operands(operation)))


@op_rule("add", inplace_variant=True, saves=saves_nothing, may_alias=False, adds_bias=add_adds_bias)
@op_rule("__add__", "__radd__", saves=saves_nothing, may_alias=False, adds_bias=add_adds_bias)
@op_rule("__iadd__", saves=saves_nothing, adds_bias=add_adds_bias)
@op_rule("sub", "subtract", inplace_variant=True, saves=saves_nothing, may_alias=False)
@op_rule("rsub", "__sub__", "__rsub__", saves=saves_nothing, may_alias=False)
@op_rule("__isub__", saves=saves_nothing)
def add_rule(operation: Operation) -> SpmdType:
    """x + alpha * y: partial if both are, or if one is and the other is the number 0"""
    operands, result = broadcast_operands(operation)
    numbers = [item for item in operation.arguments if not isinstance(item, Operand)]
    adds_zero = all(type(number) in (int, float) and number == 0 for number in numbers)
    if len(operands) == 1 and operands[0][0].type is PARTIAL and not adds_zero:
        raise RuleViolation(PartialOperand("constant added"))
    return pointwise_result_type(operation, einsum_rule(operands, result, linear_in="all"))


@op_rule(
    "mul",
    "multiply",
    inplace_variant=True,
    saves=saves_factors(),
    may_alias=False,
    entries="scaled",
    accepts_rank_dependent=True,
)
@op_rule(
    "__mul__",
    "__rmul__",
    saves=saves_factors(),
    may_alias=False,
    entries="scaled",
    accepts_rank_dependent=True,
)
@op_rule("__imul__", saves=saves_factors(), entries="scaled", accepts_rank_dependent=True)
def mul_rule(operation: Operation) -> SpmdType:
    """x * y: linear in each factor"""
    if (mean := mean_of_sum(operation, power=1)) is not None:
        return mean
    return pointwise_result_type(operation, einsum_rule(*broadcast_operands(operation), linear_in=(0, 1)))


@op_rule(
    "div", "divide", "true_divide", inplace_variant=True, saves=div_saves, may_alias=False, entries="scaled", accepts_rank_dependent=True,
)  # fmt: skip
@op_rule(
    "__truediv__", "__div__", saves=div_saves, may_alias=False, entries="scaled", accepts_rank_dependent=True
)
@op_rule("__itruediv__", "__idiv__", saves=div_saves, entries="scaled", accepts_rank_dependent=True)
@op_rule("__rtruediv__", "__rdiv__", may_alias=False, accepts_rank_dependent=True)
def div_rule(operation: Operation) -> SpmdType:
    """x / y: linear in x, unless it rounds"""
    is_reversed = operation.name.startswith("__r")
    if (mean := mean_of_sum(operation, power=0 if is_reversed else -1)) is not None:
        return mean
    operands, result = broadcast_operands(operation)
    dividend = operation.arguments[1 if is_reversed else 0]
    are_sums = len(operands) > 1 and all(operand.type is PARTIAL for operand, _ in operands)
    if operation.splits_batch and are_sums:
        raise RuleViolation(UnequalCounts("sum"))
    rounds = operation.keywords.get("rounding_mode") is not None
    linear = [i for i, (operand, _) in enumerate(operands) if operand is dividend and not rounds]
    return pointwise_result_type(operation, einsum_rule(operands, result, linear_in=linear))


@op_rule("neg", "negative", inplace_variant=True, saves=saves_nothing, may_alias=False)
@op_rule("__neg__", "deg2rad", "rad2deg", saves=saves_nothing, may_alias=False)
@op_rule("positive", "__pos__", "detach", "detach_", saves=saves_nothing)
@op_rule("clone", saves=saves_nothing, may_alias=False, entries="same")
@op_rule("contiguous", saves=saves_nothing, entries="same", may_copy=True)
def linear_unary_rule(operation: Operation) -> SpmdType:
    """x -> as x, linear"""
    operands, result = broadcast_operands(operation)
    if len(operands) != 1:
        raise Unsupported(f"the rule of {operation.name} expects one tensor")
    return pointwise_result_type(operation, einsum_rule(operands, result, linear_in="all"))


@op_rule("addcmul", inplace_variant=True, saves=saves_factors(1, 2), may_alias=False)
@op_rule("addcdiv", "lerp", inplace_variant=True, may_alias=False)
def ternary_pointwise_rule(operation: Operation) -> SpmdType:
    """x + value * y * z and the like: linear in several ways, and taken as nonlinear."""
    return pointwise_result_type(operation, einsum_rule(*broadcast_operands(operation)))
