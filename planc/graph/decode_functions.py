"""Decoding the functions of a graph: each tensor is made before it is used, and each call matches its function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from planc.graph.codec import GraphFormatError, decode_argument, shortened
from planc.ir.graph import Call, Function, Op, TensorInfo, Value


def decode_functions(forms: list[Any], decode_info: Callable[[Any], TensorInfo]) -> tuple[Function, ...]:
    """The functions of a graph; each may call those before it.

    Raises:
        GraphFormatError: one of them is not a function.
    """
    functions: list[Function] = []
    for form in forms:
        try:
            functions.append(_FunctionDecoder(functions, form["inputs"]).function(form, decode_info))
        except GraphFormatError as bad:
            raise GraphFormatError(f"function {len(functions)}: {bad}") from None
    return tuple(functions)


class _FunctionDecoder:
    """Decodes one function, and counts the tensors that exist so far."""

    def __init__(self, functions: list[Function], inputs: Any) -> None:
        if type(inputs) is not int or not 0 <= inputs < 1 << 20:
            raise GraphFormatError(f"not a number of inputs: {shortened(inputs)}")
        self.functions = functions
        self.tensor_count = inputs

    def function(self, form: Mapping[str, Any], info: Callable[[Any], TensorInfo]) -> Function:
        inputs = self.tensor_count
        steps = tuple([self._step(*step) for step in form["steps"]])
        tensors = tuple([info(text) for text in form["tensors"]])
        if len(tensors) != self.tensor_count:
            raise GraphFormatError("it lists other tensors than its inputs and its steps make")
        result = decode_argument(form["result"], self._check_value)
        function = Function(inputs, tensors, steps, result, self._numbers(form["exports"]))
        if function.exports[: len(function.returned_tensors)] != function.returned_tensors:
            raise GraphFormatError("its exports do not begin with the tensors that it returns")
        return function

    def _step(
        self, name: Any, arguments: Any, keywords: Any, results: Any, function: Any = None, outer: Any = None
    ) -> Op | Call:
        if not isinstance(name, str) or not isinstance(arguments, list) or not isinstance(keywords, dict):
            raise GraphFormatError(f"not a step: {shortened(name)}")
        decoded = decode_argument(arguments, self._check_value)
        decoded_keywords = {key: decode_argument(value, self._check_value) for key, value in keywords.items()}
        if function is None:
            return Op(name, decoded, decoded_keywords, self._results(results))
        if type(function) is not int or not 0 <= function < len(self.functions) or name[:1] != ">":
            raise GraphFormatError("it calls a function that is not defined before it")
        called, used = self.functions[function], self._numbers(outer)
        call = Call(name[1:], function, decoded, decoded_keywords, used, self._results(results))
        if len(call.argument_tensors) + len(used) != called.inputs or len(call.results) != len(
            called.exports
        ):
            raise GraphFormatError(f"its call of function {function} does not match that function")
        return call

    def _check_value(self, value: Value) -> None:
        if value.number >= self.tensor_count:
            raise GraphFormatError(f"tensor {value.number} is used before it is made")

    def _numbers(self, data: Any) -> tuple[int, ...]:
        for number in data:
            if type(number) is not int or not 0 <= number < self.tensor_count:
                raise GraphFormatError(f"there is no tensor {shortened(number)}")
        return tuple(data)

    def _results(self, data: Any) -> tuple[int, ...]:
        made = tuple(data)
        # By type too: True is 1 to a comparison.
        if made != tuple(range(self.tensor_count, self.tensor_count + len(made))) or any(
            type(n) is not int for n in made
        ):
            raise GraphFormatError(f"its steps make tensors out of order: {shortened(data)}")
        self.tensor_count += len(made)
        return made
