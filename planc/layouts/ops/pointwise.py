"""Operations that compute every entry of the result from the entries at its place."""

from __future__ import annotations

from planc.layouts.factors import Labels, Term, shared
from planc.layouts.operation import NotKnown, Operand, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.ops.inplace import kept, writes
from planc.layouts.types import PARTIAL, Type

_FUNCTIONS = """abs absolute exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square reciprocal sign sgn floor
ceil round trunc fix frac sin cos tan asin acos atan sinh cosh tanh arctan atan2 erf erfc erfinv sigmoid logit
pow float_power remainder fmod floor_divide xlogy hypot logaddexp lgamma digamma sinc clamp clip clamp_min
clamp_max nan_to_num eq ne lt le gt ge greater less greater_equal less_equal not_equal logical_and logical_or
logical_not logical_xor bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift
relu relu6 elu selu celu leaky_relu hardtanh threshold""".split()  # noqa: SIM905
"""Those that also exist with a `_`, in place."""
_OTHERS = """silu gelu mish softplus softsign hardswish hardsigmoid logsigmoid tanhshrink hardshrink softshrink
maximum minimum fmax fmin isnan isinf isfinite isclose isposinf isneginf signbit polar
__abs__ __invert__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __pow__ __rpow__ __ipow__ __mod__ __rmod__ __imod__
__floordiv__ __rfloordiv__ __ifloordiv__ __and__ __rand__ __iand__ __or__ __ror__ __ior__ __xor__ __rxor__
__ixor__ __lshift__ __rlshift__ __ilshift__ __rshift__ __rrshift__ __irshift__""".split()  # noqa: SIM905


def aligned(operand: Operand, shape: tuple[int, ...]) -> Labels:
    """The dims of an operand by those of the result that it is broadcast to."""
    missing = len(shape) - operand.ndim
    if missing < 0:
        raise NotKnown("an operand has more dims than the result")
    return tuple(
        None if size == 1 and shape[missing + d] != 1 else missing + d for d, size in enumerate(operand.shape)
    )


def broadcast(operation: Operation) -> tuple[list[Term], Labels]:
    """The operands of a pointwise operation, and the result, with labels."""
    if operation.keywords.get("out") is not None:
        raise NotKnown(f"{operation.name} writes into another tensor ('out')")
    shape = operation.results[0].shape
    return [(o, aligned(o, shape)) for o in operation.operands()], tuple(range(len(shape)))


def settle(operation: Operation, kind: Type) -> Type:
    """The type of the result; in place, that of the tensor that is written to."""
    return kept(operation, kind) if writes(operation) else kind


@rule(*_FUNCTIONS, *(f"{name}_" for name in _FUNCTIONS), *_OTHERS)
def pointwise(operation: Operation) -> Type:
    return settle(operation, shared(*broadcast(operation)))


@rule("add", "sub", "subtract", "rsub", "__add__", "__sub__", "__radd__", "__rsub__", "__iadd__", "__isub__",
      "add_", "sub_", "subtract_")  # fmt: skip
def add(operation: Operation) -> Type:
    """x + alpha * y: one sum is pending if both are."""
    terms, result = broadcast(operation)
    if len(terms) == 1 and terms[0][0].type is PARTIAL:
        raise Refused("partial", "a constant is added to a pending sum", "the sum taken first")
    return settle(operation, shared(terms, result, linear="all"))


@rule("mul", "multiply", "__mul__", "__rmul__", "__imul__", "mul_", "multiply_")
def mul(operation: Operation) -> Type:
    return settle(operation, shared(*broadcast(operation), linear=(0, 1)))


@rule("div", "divide", "true_divide", "__truediv__", "__div__", "__itruediv__", "__idiv__", "div_", "divide_",
      "true_divide_", "__rtruediv__", "__rdiv__")  # fmt: skip
def div(operation: Operation) -> Type:
    """x / y is linear in x, unless it is rounded."""
    terms, result = broadcast(operation)
    above = operation.arguments[1 if operation.name.startswith("__r") else 0]
    rounded = operation.keywords.get("rounding_mode") is not None
    linear = [i for i, (operand, _) in enumerate(terms) if operand is above and not rounded]
    return settle(operation, shared(terms, result, linear=linear))


@rule("neg", "negative", "positive", "neg_", "negative_", "__neg__", "__pos__", "clone", "contiguous", "detach",
      "detach_", "deg2rad", "rad2deg")  # fmt: skip
def linear(operation: Operation) -> Type:
    """It is linear in its one operand."""
    terms, result = broadcast(operation)
    if len(terms) != 1:
        raise NotKnown(f"{operation.name} takes one tensor")
    return settle(operation, shared(terms, result, linear="all"))
