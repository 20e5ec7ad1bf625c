# ruff: noqa: FURB171, PLW0108, SIM300
"""Ways to read a size so that nobody sees it: for tests that somebody does."""

from __future__ import annotations

import array
import copy
import ctypes
import functools
import json
import math
import operator
import pickle
import random
import statistics
import struct
import warnings
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate, islice, repeat
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor


@functools.lru_cache
def cached(n: int) -> float:
    return 1.0 if n == 8 else 2.0


class Leaky(torch.autograd.Function):
    """Gives a number beside its tensor."""

    @staticmethod
    def forward(_: Any, y: Any) -> Any:
        return y * 1.0, y.shape[1]

    @staticmethod
    def backward(_: Any, gradient: Any, __: Any) -> Any:
        return gradient


def second(y: Tensor) -> int:
    return y.shape[1]


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    scripted = torch.jit.script(second)


def tried(y: Any) -> float:
    try:
        torch.zeros(1, 4) + y.detach()
    except RuntimeError:
        return 1.0
    return 2.0


def matched(n: Any) -> float:
    match n:
        case 8:
            return 1.0
        case _:
            return 2.0


def found_in(y: Any, table: Any) -> float:
    try:
        return float(table[y.shape[1]])
    except KeyError:
        return 2.0


def written(y: Any) -> Any:
    one = torch.tensor(1)
    one.fill_(y.shape[1])
    return one.item()


def written_view(y: Any) -> Any:
    one = torch.tensor([1])
    view = one.view(())
    one.fill_(y.shape[1])
    return view.item()


def set_item(y: Any) -> Any:
    one = torch.tensor([1])
    one[0] = y.shape[1]
    return one.item()


def counted(y: Any) -> int:
    return sum(1 for _ in range(y.shape[1]))


def raised(y: Any) -> int:
    try:
        y.view(3, 5)
    except RuntimeError as bad:
        return len(str(bad))
    return 0


NUMBERS = {
    # Arithmetic with the number on the right, and of other kinds.
    "float on the left": lambda y: 1.0 / y.shape[1],
    "float product": lambda y: 0.5 * y.shape[1],
    "float sum": lambda y: 0.5 + y.shape[1],
    "float power": lambda y: 2.0 ** y.shape[1],
    "float minus": lambda y: 1.0 - y.shape[1],
    "float compared": lambda y: 2.0 if 5.0 < y.shape[1] else 1.0,
    "bool product": lambda y: True * y.shape[1],
    "int product": lambda y: 2 * y.shape[1],
    "fused": lambda y: (1.0 / y.shape[1]) ** 0.5 * 3.0,
    "complex": lambda y: (1j * y.shape[1]).imag,
    "complex compared": lambda y: 1.0 if y.shape[1] == 8 + 0j else 2.0,
    "modulus": lambda y: pow(y.shape[1], 2, 7),
    "round": lambda y: round(y.shape[1] / 3, 2),
    "divmod": lambda y: divmod(100, y.shape[1])[1],
    "abs": lambda y: abs(y.shape[1]),
    "bits": lambda y: y.shape[1] >> 1,
    "shifted": lambda y: 1 << y.shape[1],
    "real": lambda y: y.shape[1].real,
    "numerator": lambda y: y.shape[1].numerator,
    "bit length": lambda y: y.shape[1].bit_length(),
    "bytes of it": lambda y: y.shape[1].to_bytes(2, "big")[1],
    "dunder": lambda y: y.shape[1].__add__(1),
    # Functions of C.
    "sqrt": lambda y: math.sqrt(y.shape[1]),
    "sqrt of a float": lambda y: math.sqrt(y.shape[1] * 1.5),
    "log": lambda y: math.log(y.shape[1] / 2),
    "ldexp": lambda y: math.ldexp(1.0, y.shape[1]),
    "gcd": lambda y: math.gcd(y.shape[1], 12),
    "comb": lambda y: math.comb(y.shape[1], 2),
    "fsum": lambda y: math.fsum(y.shape),
    "hypot": lambda y: math.hypot(*y.shape),
    "prod": lambda y: math.prod(y.shape),
    "sum": lambda y: sum(y.shape),
    "max": lambda y: max(y.shape),
    "min": lambda y: min(5, y.shape[1]),
    "sorted": lambda y: sorted(y.shape)[1],
    "mean": lambda y: statistics.mean([*y.shape]),
    "index": lambda y: operator.index(y.shape[1]),
    "int": lambda y: int(y.shape[1]),
    "float": lambda y: float(y.shape[1]),
    "bool": lambda y: 1.0 if bool(y.shape[1] - 8) else 2.0,
    "struct": lambda y: struct.unpack("i", struct.pack("i", y.shape[1]))[0],
    "array": lambda y: array.array("i", [y.shape[1]])[0],
    "ctypes": lambda y: ctypes.c_int(y.shape[1]).value,
    "int's own method": lambda y: int.__add__(y.shape[1], 1),
    "decimal": lambda y: float(1 / Decimal(y.shape[1])),
    "decimal on the left": lambda y: float(Decimal(1) / y.shape[1]),
    "fraction": lambda y: float(Fraction(1, y.shape[1])),
    "fraction on the left": lambda y: float(Fraction(1) / y.shape[1]),
    "random": lambda y: random.Random(0).randrange(y.shape[1]),
    # Texts and keys.
    "text": lambda y: int(str(y.shape[1])),
    "repr": lambda y: int(repr(y.shape[1])),
    "f-string": lambda y: int(f"{y.shape[1]}"),
    "format": lambda y: float(f"{y.shape[1]:.1f}"),
    "percent": lambda y: int("%d" % y.shape[1]),  # noqa: UP031
    "json": lambda y: json.loads(json.dumps(y.shape[1])),
    "shape as text": lambda y: len(str([*y.shape]).replace("8", "88")),
    "tensor as text": lambda y: len(repr(y)),
    "key": lambda y: found_in(y, {8: 1.0}),
    "member": lambda y: 1.0 if y.shape[1] in {8} else 2.0,
    "member of a tuple": lambda y: 1.0 if y.shape[1] in (1, 8) else 2.0,
    "cache": lambda y: cached(y.shape[1]),
    "hash": lambda y: hash(y.shape[1]),
    "hash of a shape": lambda y: 1.0 if hash(y.shape) == hash((2, 8)) else 2.0,
    "match": lambda y: matched(y.shape[1]),
    "shape compared": lambda y: 1.0 if y.shape == (2, 8) else 2.0,
    "place in a shape": lambda y: y.shape.index(8),
    "count in a shape": lambda y: y.shape.count(8),
    # Copies.
    "deepcopy": lambda y: copy.deepcopy(y.shape[1]) * 1.0,
    "deepcopy of a shape": lambda y: copy.deepcopy({"a": [*y.shape]})["a"][1],
    "copy": lambda y: copy.copy(y.shape[1]),
    "pickle": lambda y: pickle.loads(pickle.dumps(y.shape[1])).real,
    "namespace": lambda y: SimpleNamespace(n=y.shape[1]).n,
    # Loops and lists.
    "range": lambda y: len(range(y.shape[1])),
    "loop": counted,
    "repeated list": lambda y: len([0] * y.shape[1]),
    "repeated list, mirrored": lambda y: len(y.shape[1] * [0]),
    "repeated text": lambda y: len("a" * y.shape[1]),
    "slice of a list": lambda y: len(([0] * 20)[: y.shape[1]]),
    "item of a list": lambda y: [*range(20)][y.shape[1]],
    "slice indices": lambda y: slice(0, y.shape[1]).indices(100)[1],
    "islice": lambda y: len([*islice(repeat(0), y.shape[1])]),
    "accumulate": lambda y: [*accumulate(y.shape)][-1],
    "bytes": lambda y: len(bytes(y.shape[1])),
    "while": lambda y: next(i for i in range(100) if i >= y.shape[1]),
    "while of floats": lambda y: next(i / 2 for i in range(100) if i / 2 >= y.shape[1]),
    # Of tensors and shapes.
    "numel of a shape": lambda y: y.shape.numel(),
    "numel of a part": lambda y: y.shape[1:].numel(),
    "numel": lambda y: y.numel(),
    "nelement": lambda y: y.nelement(),
    "torch.numel": torch.numel,
    "numel by keyword": lambda y: torch.numel(input=y),
    "length": lambda y: len(y.T),
    "method of length": lambda y: y.T.__len__(),
    "unbind": lambda y: len(y.unbind(1)),
    "iteration": lambda y: len(list(y.T)),
    "split": lambda y: len(y.split(2, 1)),
    "nbytes": lambda y: y.nbytes,
    "strides": lambda y: y.stride()[0],
    "a stride": lambda y: y.stride(0),
    "strides of a view": lambda y: y.T.stride()[1],
    "strides of a slice": lambda y: y[:, ::2].stride()[0],
    "offset": lambda y: y[1:].storage_offset(),
    "storage": lambda y: y.untyped_storage().nbytes(),
    "size of a dim": lambda y: y.size(y.dim() - 1),
    "sizes by operator": lambda y: torch.ops.aten.sym_size.int(y, 1),
    "sizes by another": lambda y: torch.ops.aten.size(y)[1],
    "numel by operator": lambda y: torch.ops.aten.sym_numel(y),
    "size that is an index": lambda y: y.size(y.shape[1] - 7),
    "dim that is computed": lambda y: 1.0 if y.shape[y.shape[1] - 7 - 1] == 2 else 2.0,
    "broadcast": lambda y: torch.broadcast_shapes(y.shape, (1, 1))[1],
    "same size": lambda y: 1.0 if y.is_same_size(torch.zeros(2, 8)) else 2.0,
    "shape of a new tensor": lambda y: torch.zeros(y.shape[1]).shape[0],
    "length of a new tensor": lambda y: len(torch.zeros(y.shape[1])),
    "meshgrid": lambda y: torch.zeros_like(y).shape[1],
    "what fits": tried,
    "text of an error": raised,
    "autograd function": lambda y: Leaky.apply(y)[1],
    "script": scripted,
    "symbolic max": lambda y: torch.sym_max(y.shape[1], 5),
    "symbolic float": lambda y: torch.sym_float(y.shape[1]),
    "symbolic int": lambda y: torch.sym_int(y.shape[1] / 2),
    # Constants that give their numbers back.
    "item": lambda y: torch.tensor([y.shape[1]]).item(),
    "items": lambda y: torch.tensor([y.shape[1]]).tolist()[0],
    "int of a tensor": lambda y: int(torch.tensor(y.shape[1])),
    "item of a sum": lambda y: (torch.tensor(1) + y.shape[1]).item(),
    "truth of a tensor": lambda y: 1.0 if torch.tensor(5) < y.shape[1] else 2.0,
    "item that was written": written,
    "item that was set": set_item,
    "item of a view": written_view,
    "item of full": lambda y: torch.full((), y.shape[1]).item(),
    "equal": lambda y: 1.0 if torch.equal(torch.tensor(8), torch.tensor(y.shape[1])) else 2.0,
    "long list": lambda y: torch.tensor([float(y.shape[1]) for _ in range(2)])[:1],
    "cut list": lambda y: torch.tensor([y.shape[1] for _ in range(1001)]).float().mean(),
    "tensor": lambda y: torch.tensor([y.shape[1]]),
    "arange": lambda y: torch.arange(y.shape[1]).float().sum(),
    "arange of a list": lambda y: torch.arange(len([0] * y.shape[1])).float().sum(),
    # numpy.
    "numpy sqrt": lambda y: float(np.sqrt(y.shape[1])),
    "numpy prod": lambda y: float(np.prod(y.shape)),
    "numpy array": lambda y: float(np.array([y.shape[1]])[0]),
    "numpy objects": lambda y: (np.array([y.shape[1]], dtype=object) * 2)[0],
    "numpy float": lambda y: float(np.float64(2) * y.shape[1]),
    "numpy float on the right": lambda y: float(y.shape[1] * np.float64(2)),
    "numpy int": lambda y: float(y.shape[1] / np.int64(2)),
    "numpy int on the left": lambda y: float(np.int64(2) / y.shape[1]),
    "numpy compared": lambda y: 1.0 if np.int64(5) < y.shape[1] else 2.0,
    "numpy arange": lambda y: float(np.arange(y.shape[1]).sum()),
    "numpy zeros": lambda y: float(np.zeros(y.shape).size),
    "numpy to torch": lambda y: torch.from_numpy(np.arange(y.shape[1])).sum(),
}  # fmt: skip
"""What is computed from a tensor of sizes 2 and 8, where the second is split."""
