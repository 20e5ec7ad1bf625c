"""Reading the functions of a graph: every tensor is made before it is used, every call fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from planc.graph.codec import GraphFormatError, decode_argument, shortened
from planc.ir.graph import Call, Function, Op, TensorInfo, Value


def decode_functions(forms: list[Any], decode_info: Callable[[Any], TensorInfo]) -> tuple[Function, ...]:
    """The functions of a graph; each may call those before it.

    Raises:
        BadGraph: what is written is no function.
    """
    functions: list[Function] = []
    for form in forms:
        try:
            functions.append(_FunctionDecoder(functions, form["inputs"]).function(form, decode_info))
        except GraphFormatError as bad:
            raise GraphFormatError(f"function {len(functions)}: {bad}") from None
    return tuple(functions)


class _FunctionDecoder:
    """Reads one function: knows which tensors there are so far."""

    def __init__(self, functions: list[Function], inputs: Any) -> None:
        if type(inputs) is not int or not 0 <= inputs < 1 << 20:
            raise GraphFormatError(f"{shortened(inputs)} is no number of inputs")
        self.functions = functions
        self.made = inputs

    def function(self, form: Mapping[str, Any], info: Callable[[Any], TensorInfo]) -> Function:
        inputs = self.made
        steps = tuple([self._step(*step) for step in form["steps"]])
        tensors = tuple([info(text) for text in form["tensors"]])
        if len(tensors) != self.made:
            raise GraphFormatError("its tensors are not those that its steps make")
        result = decode_argument(form["result"], self._value)
        made = Function(inputs, tensors, steps, result, self._numbers(form["exports"]))
        if made.exports[: len(made.returned_tensors)] != made.returned_tensors:
            raise GraphFormatError("its exports are not what it returns")
        return made

    def _step(
        self, name: Any, arguments: Any, keywords: Any, results: Any, function: Any = None, outer: Any = None
    ) -> Op | Call:
        if not isinstance(name, str) or not isinstance(arguments, list) or not isinstance(keywords, dict):
            raise GraphFormatError(f"this is no step: {shortened(name)}")
        said = decode_argument(arguments, self._value)
        words = {key: decode_argument(value, self._value) for key, value in keywords.items()}
        if function is None:
            return Op(name, said, words, self._results(results))
        if type(function) is not int or not 0 <= function < len(self.functions) or name[:1] != ">":
            raise GraphFormatError("it calls a function that is not defined before it")
        called, used = self.functions[function], self._numbers(outer)
        call = Call(name[1:], function, said, words, used, self._results(results))
        if len(call.argument_tensors) + len(used) != called.inputs or len(call.results) != len(
            called.exports
        ):
            raise GraphFormatError(f"its call of function {function} does not fit that one")
        return call

    def _value(self, value: Value) -> None:
        if value.number >= self.made:
            raise GraphFormatError(f"tensor {value.number} is used before it is made")

    def _numbers(self, data: Any) -> tuple[int, ...]:
        for number in data:
            if type(number) is not int or not 0 <= number < self.made:
                raise GraphFormatError(f"there is no tensor {shortened(number)}")
        return tuple(data)

    def _results(self, data: Any) -> tuple[int, ...]:
        made = tuple(data)
        # By type too: True is 1 to a comparison.
        if made != tuple(range(self.made, self.made + len(made))) or any(type(n) is not int for n in made):
            raise GraphFormatError(f"tensors are made out of order: {shortened(data)}")
        self.made += len(made)
        return made
