"""Norms and softmax: everything along some dims enters every entry."""

from __future__ import annotations

from planc.layouts.factors import Labels, Term, shared
from planc.layouts.operation import Differs, NotKnown, Operand, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.ops.dims import chosen, numbered, taken
from planc.layouts.types import Type, split

_WHY = "it is normalised along that dim"


@rule("layer_norm", "rms_norm")
def layer_norm(operation: Operation) -> Type:
    """x (..., *normalized), weight (*normalized), bias (*normalized) -> as x"""
    names = {"bias": None} if operation.name == "layer_norm" else {}
    x, shape, *parameters, _ = operation.bind("input", "normalized_shape", weight=None, **names, eps=None)
    dims = tuple(range(x.ndim))
    last = dims[x.ndim - (len(shape) if isinstance(shape, tuple) else 1) :]
    terms: list[Term] = [(x, dims), *((p, last) for p in parameters if isinstance(p, Operand))]
    return shared(terms, dims, fixed=last, why=_WHY)


@rule("group_norm", sizes=True)
def group_norm(operation: Operation) -> Type:
    """x (b, c, ...), weight (c), bias (c) -> as x

    The ranks may share the groups, where each counts its own.
    """
    x, groups, *parameters, _ = operation.bind("input", "num_groups", weight=None, bias=None, eps=1e-5)
    dims = tuple(range(x.ndim))
    terms: list[Term] = [(x, dims), *((p, (1,)) for p in parameters if isinstance(p, Operand))]
    if not isinstance(groups, Differs):
        return shared(terms, dims, fixed=dims[1:], why=_WHY)
    fits = groups.local is not None and groups.whole == groups.local * operation.ranks
    if not fits or x.type is not split(1):
        raise Refused("meet", f"a norm of {groups.whole} groups, {groups.local} of them on a rank",
                      "an input that is split along the groups")  # fmt: skip
    return shared(terms, dims, fixed=dims[2:], why=_WHY)


@rule("batch_norm")
def batch_norm(operation: Operation) -> Type:
    """x (b, c, ...), running_mean (c), running_var (c), weight (c), bias (c) -> as x"""
    x, *vectors, training, _, _ = operation.bind(
        "input", "running_mean", "running_var", weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
    )
    dims = tuple(range(x.ndim))
    terms: list[Term] = [(x, dims), *((v, (1,)) for v in vectors if isinstance(v, Operand))]
    fixed = () if training is False else (0, *dims[2:])
    return shared(terms, dims, fixed=fixed, why="it mixes the entries of a batch")


@rule("softmax", "log_softmax", "softmin")
def softmax(operation: Operation) -> Type:
    """x (..., dim, ...) -> as x"""
    x, dim = taken(operation, "input", "dim", rest=("_stacklevel", "dtype"))
    dims = tuple(range(x.ndim))
    return shared([(x, dims)], dims, fixed=(numbered(dim, x.ndim),), why="softmax sums along that dim")


@rule("normalize")
def normalize(operation: Operation) -> Type:
    """x / |x|, along dim"""
    x, _, dim, _ = operation.bind("input", p=2.0, dim=1, eps=1e-12)
    dims = tuple(range(x.ndim))
    return shared([(x, dims)], dims, fixed=chosen(dim, x.ndim), why=_WHY)


@rule("cumsum", "cumprod", "logcumsumexp", "cumsum_")
def cumulative(operation: Operation) -> Type:
    """x (..., dim, ...) -> as x; a running sum is linear"""
    x, dim = taken(operation, "input", "dim", rest=("dtype",))
    dims: Labels = tuple(range(x.ndim))
    linear = (0,) if operation.name.startswith("cumsum") and "dtype" not in operation.keywords else ()
    kind = shared(
        [(x, dims)], dims, fixed=(numbered(dim, x.ndim),), linear=linear, why="it runs along that dim"
    )
    if operation.name.endswith("_") and kind is not x.type:
        raise NotKnown(f"{operation.name} changes the type of its tensor")
    return kind


@rule("diff")
def diff(operation: Operation) -> Type:
    """Differences of neighbours along dim"""
    x, _, dim, before, after = operation.bind("input", n=1, dim=-1, prepend=None, append=None)
    dims: Labels = tuple(range(x.ndim))
    terms = [(item, dims) for item in (x, before, after) if item is not None]
    linear = (0,) if len(terms) == 1 else "all"
    return shared(terms, dims, fixed=(numbered(dim, x.ndim),), linear=linear, why="neighbours are subtracted")
