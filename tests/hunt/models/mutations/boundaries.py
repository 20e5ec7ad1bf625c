"""What crosses the boundary of a module: transposed, flattened, expanded, complex."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.hunt.models.edits import Code, Target, after, change_call, change_forward, on_argument, on_first
from tests.hunt.models.mutation_table import mutation

FORMS: dict[str, tuple[Any, Any]] = {
    "transposed": (lambda x: x.transpose(1, 2), lambda x, _: x.transpose(1, 2)),
    "sequence first": (lambda x: x.transpose(0, 1), lambda x, _: x.transpose(0, 1)),
    "flat": (lambda x: x.flatten(0, 1), lambda x, like: x.unflatten(0, like.shape[:2])),
    "with a dim more": (lambda x: x.unsqueeze(1), lambda x, _: x.squeeze(1)),
    "not contiguous": (lambda x: x.transpose(1, 2).contiguous().transpose(1, 2), lambda x, _: x),
    "complex": (lambda x: torch.complex(x, 0.5 * x), lambda x, _: x.real + x.imag),
    "doubled": (lambda x: torch.cat([x, x], -1), lambda x, _: x.chunk(2, -1)[0]),
}


@mutation("argument-form")
def change_arguments_form(target: Target) -> str | None:
    """The parent hands the argument over in another form, and the module turns it back."""
    if not target.name or target.entering is None or len(target.entering) != 3:
        return None
    text, (there, back) = target.rng.choice(
        [(t, f) for t, f in FORMS.items() if t != "flat" and (t != "complex" or target.rng.random() < 0.3)]
    )

    def forward_code(_module: nn.Module, forward: Code, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = on_argument(args, kwargs, lambda x: back(x, None))
        return forward(*args, **kwargs)

    def forward_complex(_module: nn.Module, forward: Code, *args: Any, **kwargs: Any) -> Any:
        first, *rest = args
        return forward(back(first, None), *rest, **kwargs)

    def call_code(_module: nn.Module, call: Code, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = on_argument(args, kwargs, there)
        return call(*args, **kwargs)

    if text == "complex" and not target.shapes.calls[target.name].takes_tensor:
        return None
    change_forward(target.module, forward_complex if text == "complex" else forward_code)
    change_call(target.module, call_code)
    return f"the argument is handed over {text}"


@mutation("result-form")
def change_results_form(target: Target) -> str | None:
    if not target.name or target.leaving is None or len(target.leaving) != 3:
        return None
    text, (there, back) = target.rng.choice(list(FORMS.items()))
    if not target.shapes.calls[target.name].gives_tensor or (text == "flat" and not target.keeps_shape):
        return None

    def call_code(_module: nn.Module, call: Code, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        return back(call(x, *args, **kwargs), x)

    if not target.shapes.calls[target.name].takes_tensor:
        return None
    after(target.module, lambda _, y, __: there(y))
    change_call(target.module, call_code)
    return f"the result is returned {text}"


@mutation("expanded")
def return_expanded(target: Target) -> str | None:
    if target.leaving is None or len(target.leaving) != 3:
        return None
    text = target.pick(
        "y[:, :1]", "y.mean(1, keepdim=True)", "y.mean(-1, keepdim=True)", "y.mean(0, keepdim=True)"
    )
    parts = {
        "y[:, :1]": lambda y: y[:, :1],
        "y.mean(1, keepdim=True)": lambda y: y.mean(1, keepdim=True),
        "y.mean(-1, keepdim=True)": lambda y: y.mean(-1, keepdim=True),
        "y.mean(0, keepdim=True)": lambda y: y.mean(0, keepdim=True),
    }
    after(target.module, lambda _, y, __: parts[text](y).expand_as(y))
    return f"{text}.expand_as(y)"


@mutation("other-dtype")
def cross_in_other_dtype(target: Target) -> str | None:
    if not target.name or not target.shapes.calls[target.name].gives_tensor:
        return None
    after(target.module, lambda _, y, __: y.to(torch.float64))

    def code(_module: nn.Module, call: Code, *args: Any, **kwargs: Any) -> Any:
        kind = next((p.dtype for p in _module.parameters()), torch.float64)
        return on_first(call(*args, **kwargs), lambda y: y.to(kind))

    change_call(target.module, code)
    return "the result is returned in float64"
