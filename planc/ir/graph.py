"""A captured model: its modules, their parameters, and the operations of a forward pass.

Everything that repeats is stored once: a model of 126 equal layers has one definition of
a layer, and one function that is called 126 times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from math import prod
from typing import Any

from planc.ir.record import Record
from planc.ir.tree import leaves

FORMAT_VERSION = 2
"""Of the file; a graph of another version is refused."""


class TensorInfo(Record):
    """What is known of a tensor without its numbers."""

    shape: tuple[int, ...]
    dtype: str
    """As torch prints it, without `torch.`."""
    grad: bool = False
    """Whether a gradient flows to it."""

    @property
    def is_floating(self) -> bool:
        """Whether it holds numbers that can have a gradient."""
        return self.dtype.startswith(("float", "bfloat", "complex"))

    @property
    def bytes(self) -> int:
        """What its numbers take, in bytes."""
        return prod(self.shape) * _BYTES.get(self.dtype, 4)


_BYTES = {
    "bool": 1, "uint8": 1, "int8": 1, "float8_e4m3fn": 1, "float8_e5m2": 1, "int16": 2, "float16": 2,
    "bfloat16": 2, "int32": 4, "float32": 4, "int64": 8, "float64": 8, "complex64": 8, "complex128": 16,
}  # fmt: skip
"""Of one number, by its type."""


class Value(Record):
    """A tensor of the function that uses it, by its number there."""

    number: int


class WeightRef(Record):
    """A parameter or a buffer, by its name below the module that runs; a name that begins
    with `/` is relative to the whole model."""

    name: str


SIZE_ORIGINS = {"size": 2, "numel": 1, "len": 1}
"""The origins of a number that is read off a tensor, and how many arguments each has, without a reader."""


class SymNumber(Record):
    """A number that the model's code read off a tensor or a module, or computed from such.

    `op` and its arguments: `size` (a tensor, a dim), `numel` (a tensor), `attribute` (a
    dotted name below the module that runs, as `num_heads` or `config.num_heads`; one that
    begins with `/` is `/MODULE:NAME`), `len` (a tensor), or an operator of Python: `add`,
    `sub`, `mul`, `floordiv`, `truediv`, `mod`, `pow`, `neg`. A size of a weight has one more
    argument where another module read it and passed the number on: that module's name, as
    `Call.module` has it.
    """

    op: str
    arguments: tuple[Any, ...]
    captured: int | float
    """What it was in the captured run."""

    @property
    def reads_size(self) -> bool:
        """Whether it is read off a tensor."""
        return self.op in SIZE_ORIGINS

    @property
    def reader(self) -> str | None:
        """The module that read a weight's size; None: the one whose code uses the number."""
        known = self.reads_size and len(self.arguments) > SIZE_ORIGINS[self.op]
        return str(self.arguments[-1]) if known else None

    def tree_children(self) -> Iterator[tuple[int, Any]]:
        """For walks of `planc.ir.tree`: the arguments."""
        return enumerate(self.arguments)

    def tree_rebuild(self, parts: list[Any]) -> SymNumber:
        """For walks of `planc.ir.tree`: the same number, computed from other arguments."""
        return SymNumber(self.op, tuple(parts), self.captured)


class Slice(Record):
    """`start:stop:step` in an index."""

    start: Any
    stop: Any
    step: Any

    def tree_children(self) -> tuple[tuple[str, Any], ...]:
        """For walks of `planc.ir.tree`: the bounds and the step."""
        return (("start", self.start), ("stop", self.stop), ("step", self.step))

    def tree_rebuild(self, parts: list[Any]) -> Slice:
        """For walks of `planc.ir.tree`: the slice of other bounds."""
        return Slice(*parts)


class TorchConstant(Record):
    """A constant that is not a number, a text or a list: a dtype, a device, `...`."""

    text: str


class Op(Record):
    """One call of a torch function, or a use of a number that is not a call of torch:

    - `number.compare` (an operator `lt le gt ge eq ne`, and two numbers): the code branched on it;
    - `number.lost` (a number): the code took the bare number, as `int(n)` or `math.sqrt(n)`
      does, and planc cannot follow it further.

    Two names are not functions of torch: `opaque` makes a tensor of unknown origin (its
    argument, if it has one, is the weight that lies where it was found), and
    `aliased` follows an operation in place: its arguments are the tensor that was written to,
    with its new content, and others that share its memory, with their old content; its
    results are these others as they are now.
    """

    name: str
    arguments: tuple[Any, ...]
    """Values, weights, numbers, constants; tuples where the code passed lists."""
    keywords: Mapping[str, Any]
    results: tuple[int, ...]
    """The tensors it returned, in order; an in-place operation gives its tensor a new number."""


class Call(Record):
    """One call of a module."""

    module: str
    """Its name below the module that runs; one that begins with `/` is relative to the whole model."""
    function: int
    """What it did, by its number in the graph."""
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    """How it was called: boundaries name these positions and keywords."""
    free_tensors: tuple[int, ...]
    """Tensors that it used without getting them as arguments, as free variables of its code; the same ones
    may also be arguments. The inputs of the function are its argument tensors, then these."""
    results: tuple[int, ...]
    """Its result tensors: the distinct ones that it returned, in order, then those that it created or got,
    and that code outside uses without getting them from it."""

    @property
    def argument_tensors(self) -> tuple[int, ...]:
        """The distinct tensors of its arguments and keywords, in order."""
        return distinct_tensors((self.arguments, self.keywords))

    @property
    def found_tensors(self) -> frozenset[int]:
        """Its free tensors that are no arguments."""
        return frozenset(self.free_tensors).difference(self.argument_tensors)


class Function(Record):
    """What a module does when it is called: straight-line code on numbered tensors."""

    inputs: int
    """Tensors 0, 1, ... are inputs: see `Call.free_tensors`."""
    tensors: tuple[TensorInfo, ...]
    """All tensors by number: inputs, then results of the steps in order."""
    steps: tuple[Op | Call, ...]
    result: Any
    """What it returns: a value, tuples and mappings of values, constants."""
    exports: tuple[int, ...]
    """The tensors that `Call.results` names, in that order. A returned one is listed a second time if code
    outside also uses it as it is inside of the module, past the boundary."""

    @property
    def returned_tensors(self) -> tuple[int, ...]:
        """The distinct tensors of its result, in order: the first of its exports."""
        return distinct_tensors(self.result)

    @property
    def left_tensors(self) -> tuple[int, ...]:
        """The tensors that code outside uses without getting them from it: its other exports."""
        return self.exports[len(self.returned_tensors) :]


ARGUMENT_NODES: tuple[type, ...] = (tuple, Mapping, Slice, SymNumber)
"""What walks of `planc.ir.tree` enter to find everything that an argument names: also tensors whose size it reads."""
INDEX_NODES: tuple[type, ...] = (tuple, Mapping, Slice)
"""The same without numbers: tensors that are passed, in slices too."""


def distinct_tensors(item: Any) -> tuple[int, ...]:
    """The tensors in arguments or a result, each once, in order."""
    return tuple(dict.fromkeys([value.number for value in leaves(item, Value)]))


class ModuleDef(Record):
    """A module: its class, what it owns, its children by name."""

    class_name: str
    bases: tuple[str, ...]
    """The classes it derives from, nearest first, up to torch's Module, which is left out."""
    parameters: Mapping[str, TensorInfo]
    """Its own, by name, with global shapes."""
    buffers: Mapping[str, TensorInfo]
    attributes: Mapping[str, int]
    """Numbers that its code reads off it, by dotted name."""
    children: Mapping[str, int]
    """Definitions of the children, by their number in the graph."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Its class and those it derives from, nearest first."""
        return (self.class_name, *self.bases)


class ModelGraph(Record):
    """A captured model."""

    model: str
    """What it was captured from, as `hf:LlamaForCausalLM`."""
    versions: Mapping[str, str]
    """Of the libraries that ran it."""
    facts: Mapping[str, int | bool]
    """Configuration facts, for `require` and `when`."""
    inputs: Mapping[str, TensorInfo]
    """What the model was called with, by keyword, or position written as a number."""
    modules: tuple[ModuleDef, ...]
    """A definition comes after those of its children; the last one is the model."""
    functions: tuple[Function, ...]
    """A function comes after those that it calls; the last one is the model's."""
    ties: tuple[tuple[str, ...], ...]
    """Names of parameters that are one tensor."""
    buffer_ties: tuple[tuple[str, ...], ...] = ()
    """Names of buffers that are one tensor."""
    input_options: tuple[str, ...] = ()
    """The inputs that the user has set, as `--input` takes them: `NAME=DTYPE[d0,d1,...]`."""
    source_lines: Mapping[int, Mapping[int, str]] = {}
    """By the numbers of a function and of a step: where the model's own code calls an operation that takes numbers, and the
    call itself, as `model.py:24: x.view(n, -1)`. Libraries have no lines."""
    second_runs: Mapping[int, str] = {}
    """By its number, for each function that leaves tensors for later code or finds some: the first operation in which a
    second run, after the pass, does not compute what the first did; '' where there is none."""

    def __repr__(self) -> str:
        return f"<ModelGraph of {self.model}: {len(self.modules_by_name)} modules>"

    @property
    def root_definition(self) -> int:
        """The definition of the model."""
        return len(self.modules) - 1

    @property
    def main_function(self) -> Function:
        """What the model does."""
        return self.functions[-1]

    @cached_property
    def modules_by_name(self) -> Mapping[str, ModuleDef]:
        """Every module by its dotted name, in the order of the model; the model itself is ''."""
        return dict(self._walk("", self.root_definition))

    def _walk(self, name: str, number: int) -> Iterator[tuple[str, ModuleDef]]:
        module = self.modules[number]
        yield name, module
        for child, definition in module.children.items():
            yield from self._walk(f"{name}.{child}" if name else child, definition)

    @cached_property
    def parameters(self) -> Mapping[str, TensorInfo]:
        """Every parameter by its dotted name; tied ones under each of their names."""
        return {
            f"{name}.{own}" if name else own: info
            for name, module in self.modules_by_name.items()
            for own, info in module.parameters.items()
        }
