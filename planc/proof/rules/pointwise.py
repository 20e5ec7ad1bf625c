"""Operations that compute every entry of the result from the entries at its place."""

from __future__ import annotations

from planc.proof.rules import op_rule
from planc.proof.rules.einsum_rule import DimLabels, LabeledOperand, einsum_rule
from planc.proof.rules.inplace import inplace_type, is_inplace
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported
from planc.proof.types import PARTIAL, SpmdType

WITH_INPLACE_VARIANT = """abs absolute exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square reciprocal sign sgn floor
ceil round trunc fix frac sin cos tan asin acos atan sinh cosh tanh arctan atan2 erf erfc erfinv sigmoid logit
pow float_power remainder fmod floor_divide xlogy hypot logaddexp lgamma digamma sinc clamp clip clamp_min
clamp_max nan_to_num eq ne lt le gt ge greater less greater_equal less_equal not_equal logical_and logical_or
logical_not logical_xor bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift
relu relu6 elu selu celu leaky_relu hardtanh threshold""".split()  # noqa: SIM905
"""Those that also exist with a `_`, in place."""
WITHOUT_INPLACE_VARIANT = """silu gelu mish softplus softsign hardswish hardsigmoid logsigmoid tanhshrink hardshrink softshrink
maximum minimum fmax fmin isnan isinf isfinite isclose isposinf isneginf signbit polar
__abs__ __invert__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __pow__ __rpow__ __ipow__ __mod__ __rmod__ __imod__
__floordiv__ __rfloordiv__ __ifloordiv__ __and__ __rand__ __iand__ __or__ __ror__ __ior__ __xor__ __rxor__
__ixor__ __lshift__ __rlshift__ __ilshift__ __rshift__ __rrshift__ __irshift__""".split()  # noqa: SIM905


def broadcast_labels(operand: Operand, shape: tuple[int, ...]) -> DimLabels:
    """The dims of an operand by those of the result that it is broadcast to."""
    missing = len(shape) - operand.ndim
    if missing < 0:
        raise Unsupported("an operand has more dims than the result")
    return tuple(
        None if size == 1 and shape[missing + d] != 1 else missing + d for d, size in enumerate(operand.shape)
    )


def broadcast_operands(operation: Operation) -> tuple[list[LabeledOperand], DimLabels]:
    """The operands of a pointwise operation, and the result, with labels."""
    if operation.keywords.get("out") is not None:
        raise Unsupported(f"{operation.name} writes into another tensor ('out')")
    shape = operation.results[0].shape
    return [(o, broadcast_labels(o, shape)) for o in operation.operands()], tuple(range(len(shape)))


def pointwise_result_type(operation: Operation, kind: SpmdType) -> SpmdType:
    """The type of the result; in place, that of the tensor that is written to."""
    return inplace_type(operation, kind) if is_inplace(operation) else kind


@op_rule(*WITH_INPLACE_VARIANT, *(f"{name}_" for name in WITH_INPLACE_VARIANT), *WITHOUT_INPLACE_VARIANT)
def pointwise_rule(operation: Operation) -> SpmdType:
    return pointwise_result_type(operation, einsum_rule(*broadcast_operands(operation)))


@op_rule("add", "sub", "subtract", "rsub", "__add__", "__sub__", "__radd__", "__rsub__", "__iadd__", "__isub__",
      "add_", "sub_", "subtract_")  # fmt: skip
def add_rule(operation: Operation) -> SpmdType:
    """x + alpha * y: one sum is pending if both are."""
    terms, result = broadcast_operands(operation)
    if len(terms) == 1 and terms[0][0].type is PARTIAL:
        raise RuleViolation("partial", "a constant is added to a pending sum", "the sum taken first")
    return pointwise_result_type(operation, einsum_rule(terms, result, linear_in="all"))


@op_rule("mul", "multiply", "__mul__", "__rmul__", "__imul__", "mul_", "multiply_")
def mul_rule(operation: Operation) -> SpmdType:
    return pointwise_result_type(operation, einsum_rule(*broadcast_operands(operation), linear_in=(0, 1)))


@op_rule("div", "divide", "true_divide", "__truediv__", "__div__", "__itruediv__", "__idiv__", "div_", "divide_",
      "true_divide_", "__rtruediv__", "__rdiv__")  # fmt: skip
def div_rule(operation: Operation) -> SpmdType:
    """x / y is linear in x, unless it is rounded."""
    terms, result = broadcast_operands(operation)
    above = operation.arguments[1 if operation.name.startswith("__r") else 0]
    rounded = operation.keywords.get("rounding_mode") is not None
    linear = [i for i, (operand, _) in enumerate(terms) if operand is above and not rounded]
    return pointwise_result_type(operation, einsum_rule(terms, result, linear_in=linear))


@op_rule("neg", "negative", "positive", "neg_", "negative_", "__neg__", "__pos__", "clone", "contiguous", "detach",
      "detach_", "deg2rad", "rad2deg")  # fmt: skip
def linear_unary_rule(operation: Operation) -> SpmdType:
    """It is linear in its one operand."""
    terms, result = broadcast_operands(operation)
    if len(terms) != 1:
        raise Unsupported(f"{operation.name} takes one tensor")
    return pointwise_result_type(operation, einsum_rule(terms, result, linear_in="all"))
