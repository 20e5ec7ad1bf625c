"""What passes a boundary, and what leaves the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.proof.regressions.regression import B, D, FunctionModule, S, SoundnessCase, linear


def doubles(self: Any, x: Tensor) -> Tensor:
    x.mul_(2.0)
    return self.own(x)


def deeper(self: Any, x: Tensor) -> Tensor:
    self.inner(x[:, :3])
    return self.own(x)


def residual(self: Any, x: Tensor) -> Tensor:
    x = self.norm(x)
    return self.child(x) + x


def changing(child: Any) -> FunctionModule:
    return FunctionModule(residual, norm=nn.LayerNorm(D), child=child)


def identity(_: Any, x: Tensor) -> Tensor:
    return x


def chained(self: Any, x: Tensor) -> Tensor:
    """Something is written to a tensor behind two boundaries, and the tensor is used."""
    x = self.norm(x)
    self.two(self.one(x))
    return self.last(x)


def chain() -> FunctionModule:
    two = FunctionModule(lambda _, x: (x.mul_(2.0), None)[1])
    return FunctionModule(chained, norm=nn.LayerNorm(D), one=FunctionModule(identity), two=two, last=linear())


def written_part(of: Callable[[Tensor], Tensor]) -> FunctionModule:
    """A part of a tensor is written that may share memory with what a boundary has copied."""

    def forward(self: Any, x: Tensor) -> Tensor:
        y = of(self.one(self.norm(x)))
        y[:, 0].mul_(2.0)
        return self.last(y)

    return FunctionModule(forward, norm=nn.LayerNorm(D), one=FunctionModule(identity), last=linear())


def written_copy() -> FunctionModule:
    """Two modules return one tensor, of which boundaries make two."""

    def forward(self: Any, x: Tensor) -> Tensor:
        x = self.norm(x)
        y, z = self.one(x), self.two(x)
        y[:, 0].mul_(2.0)
        return self.last(y + z)

    one, two = FunctionModule(identity), FunctionModule(identity)
    return FunctionModule(forward, norm=nn.LayerNorm(D), one=one, two=two, last=linear())


def written_copy_of_strides(of: Callable[[Tensor], Tensor], *, reads: bool = True) -> FunctionModule:
    """A tensor of unusual strides passes a boundary, which makes them plain; what `of` makes of it is written."""

    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.one(self.norm(x))
        z = of(y)
        z.mul_(2.0)
        return self.last(y.reshape(z.shape) + z if reads else z)

    one = FunctionModule(lambda _, x: x.transpose(0, 1))
    return FunctionModule(forward, norm=nn.LayerNorm(D), one=one, last=linear())


def written_heads(count: int) -> FunctionModule:
    """A contiguous copy of heads is written; of one head it is no copy."""

    def forward(self: Any, x: Tensor) -> Tensor:
        heads = self.up(x).unflatten(-1, (-1, D // count)).transpose(1, 2)
        copy = heads.contiguous()
        copy.mul_(2.0)
        return self.down((heads + copy).transpose(1, 2).flatten(2))

    return FunctionModule(forward, up=linear(), down=linear())


def scaled() -> FunctionModule:
    return FunctionModule(lambda self, x: self.gain * x, gain=nn.Parameter(torch.ones(D)))


def own_weight() -> FunctionModule:
    return FunctionModule(
        lambda self, x: (self.own(x), self.gain * 2), own=linear(), gain=nn.Parameter(torch.ones(D))
    )


def sized() -> FunctionModule:
    def forward(self: Any, x: Tensor) -> Any:
        y = self.up(x)
        return self.down(y), y.shape[self.dim]

    return FunctionModule(forward, up=linear(), down=linear(), dim=-1)


def hooked() -> FunctionModule:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.up(x)
        y.register_hook(lambda grad: grad / grad.norm())
        return self.down(y)

    return FunctionModule(forward, up=linear(), down=linear())


def normed(own: str) -> FunctionModule:
    norm = nn.BatchNorm1d(D) if own == "batch" else nn.InstanceNorm1d(D)
    return FunctionModule(lambda self, mask, x: self.norm((x * mask).transpose(1, 2)), norm=norm)


def one_mask() -> dict[str, Tensor]:
    return {"mask": torch.empty(1, S, 1), "x": torch.empty(B, S, D)}


def other_mask() -> dict[str, Tensor]:
    return {"mask": torch.empty(S, D), "x": torch.empty(B, S, D)}


def scalar() -> dict[str, Tensor]:
    return {"mask": torch.empty(()), "x": torch.empty(B, S, D)}


COPY = [
    "norm sequence replicate -> shard(1)",
    "one outputs(0: shard(1) -> replicate)",
    "last colwise -> replicate",
]

STRIDES = [
    "norm sequence replicate -> shard(1)",
    "one outputs(0: shard(0) -> replicate)",
    "last colwise -> replicate",
]

CASES = [
    SoundnessCase("an input that is changed in place", lambda: changing(FunctionModule(doubles, own=linear())), "unproved",
         ["child inputs(0: replicate -> replicate)", "child.own colwise -> replicate"]),
    SoundnessCase("a part of an input that is changed in place, further down",
         lambda: changing(FunctionModule(deeper, own=linear(), inner=FunctionModule(lambda _, x: x.mul_(2.0)))), "unproved",
         ["child inputs(0: replicate -> replicate)", "child.own colwise -> replicate"]),
    SoundnessCase("an input that is changed in place, without a boundary",
         lambda: changing(FunctionModule(doubles, own=linear())), "proved", ["child.own colwise -> replicate"]),
    SoundnessCase(
        "what is written behind two boundaries",
        chain,
        "unproved",
        [
            "norm sequence replicate -> shard(1)",
            "one outputs(0: shard(1) -> replicate)",
            "two inputs(0: replicate -> shard(1))",
            "last colwise shard(1) -> replicate",
        ],
    ),
    SoundnessCase("a part of a copy is written", lambda: written_part(lambda x: x[:]), "proved", COPY),
    SoundnessCase("a part of a copy is written, that an activation has in place",
         lambda: written_part(lambda x: nn.functional.relu(x, True)), "proved", COPY),
    SoundnessCase("a part of a copy is written, and another copy is read", written_copy, "unproved",
         [*COPY, "two outputs(0: shard(1) -> replicate)"]),
    SoundnessCase("a part of a tensor is written that two modules return", written_copy, "proved",
         ["last colwise -> replicate"]),
    SoundnessCase("a part of a new tensor is written", lambda: written_part(lambda x: x * 3.0), "proved", COPY),
    SoundnessCase("a contiguous copy is written that plain strides need not make",
         lambda: written_copy_of_strides(lambda x: x.contiguous()), "unproved", STRIDES),
    SoundnessCase("a reshaped copy is written that plain strides need not make",
         lambda: written_copy_of_strides(lambda x: x.reshape(-1, D)), "unproved", STRIDES),
    SoundnessCase("a flat copy is written, in a module", lambda: written_copy_of_strides(nn.Flatten(0, 1)), "unproved", STRIDES),
    SoundnessCase("a copy is written, and nothing else read",
         lambda: written_copy_of_strides(lambda x: x.contiguous(), reads=False), "proved", STRIDES),
    SoundnessCase("a clone is written", lambda: written_copy_of_strides(lambda x: x.contiguous().clone()), "proved", STRIDES),
    SoundnessCase("a contiguous copy is written of one head a rank", lambda: written_heads(2), "unproved",
         ["up colwise", "down rowwise"]),
    SoundnessCase("a contiguous copy is written of two heads a rank", lambda: written_heads(4), "proved",
         ["up colwise", "down rowwise"]),
    SoundnessCase("what is written behind no boundary", chain, "proved", ["last colwise -> replicate"]),
    SoundnessCase("the model's input is split, and nobody says how the result leaves", scaled, "refuted",
         ["root inputs(x: replicate -> shard(1)) params(gain: replicate)"]),
    SoundnessCase("the model's input is split, and so is its result", scaled, "proved",
         ["root inputs(x: replicate -> shard(1)) params(gain: replicate) outputs(0: shard(1) -> shard(1))"]),
    SoundnessCase("the model's own weight is split, and leaves", own_weight, "refuted", ["root params(gain: shard(0))"]),
    SoundnessCase("the model's own weight is split, and leaves so", own_weight, "proved",
         ["root params(gain: shard(0)) outputs(1: shard(0) -> shard(0))"]),
    SoundnessCase("a size that leaves the model", sized, "refuted", ["up colwise", "down rowwise"]),
    SoundnessCase("a gradient that a hook changes", hooked, "unproved", ["up colwise", "down rowwise"]),
    SoundnessCase("a batch behind an input for all of it", lambda: normed("batch"), "refuted", [], one_mask),
    SoundnessCase("a batch behind a scalar", lambda: normed("batch"), "refuted", [], scalar),
    SoundnessCase("inputs of which any may be the batch", lambda: normed("batch"), "unproved", [], other_mask),
]  # fmt: skip
