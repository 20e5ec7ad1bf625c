"""Small modules whose tensors take other ways than arguments and results: a boundary of a plan
changes what is handed and returned, and nothing of what is kept elsewhere.

Each class is a model; `LINES` is a wrong plan for it, and the cases say how it is mended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from tests.judge.variant import Variant

D = 16
GLOBAL_STATE: list[Tensor] = []


class Inner(nn.Module):
    """A module that does what its parent says."""

    def __init__(self, run: Callable[..., Any]) -> None:
        super().__init__()
        self.run, self.up = run, nn.Linear(D, D)
        self.box: list[Any] = []
        self.last: Any = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(self, *args, **kwargs)


class StateModel(nn.Module):
    """A layer, a module within, a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.pre, self.inner, self.down = nn.Linear(D, D), Inner(self.within), nn.Linear(D, D)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pre(x)
        x = self.down(self.around(self.inner, x)) + x
        self.inner.box, self.inner.last = [], None  # the next run is another one
        return x

    @staticmethod
    def around(inner: Inner, x: Tensor) -> Tensor:
        return inner(x)

    @staticmethod
    def within(own: Inner, x: Tensor) -> Any:
        return own.up(x)


# ---- ways into a module: its boundary would sum the gradient of what it is handed ------------


class IntoLines(StateModel):
    LINES: ClassVar = ["inner inputs(0: replicate -> replicate)",
                       "inner.up params(weight: shard(0), bias: shard(0)) outputs(0: shard(2) -> replicate)"]  # fmt: skip


class Boxed(IntoLines):
    @staticmethod
    def around(inner: Inner, x: Tensor) -> Tensor:
        inner.box[:] = [x]
        return inner(x)

    @staticmethod
    def within(own: Inner, _: Tensor) -> Tensor:
        return own.up(own.box[0])


class Placed(IntoLines):
    @staticmethod
    def around(inner: Inner, x: Tensor) -> Tensor:
        inner.last = x
        return inner(x)

    @staticmethod
    def within(own: Inner, _: Tensor) -> Tensor:
        return own.up(own.last)


class Global(IntoLines):
    @staticmethod
    def around(inner: Inner, x: Tensor) -> Tensor:
        GLOBAL_STATE[:] = [x]
        return inner(x)

    @staticmethod
    def within(own: Inner, _: Tensor) -> Tensor:
        return own.up(GLOBAL_STATE[0])


class Closed(IntoLines):
    @staticmethod
    def around(inner: Inner, x: Tensor) -> Tensor:
        inner.run = lambda own, _: own.up(x)
        return inner(x)


class Contained(IntoLines):
    @staticmethod
    def around(inner: Inner, x: Tensor) -> Tensor:
        return inner(x, held={"x": [x]})

    @staticmethod
    def within(own: Inner, _: Tensor, *, held: dict[str, list[Tensor]]) -> Tensor:
        return own.up(held["x"][0])


class Second(IntoLines):
    @staticmethod
    def around(inner: Inner, x: Tensor) -> Tensor:
        return inner(x, x)

    @staticmethod
    def within(own: Inner, x: Tensor, y: Tensor) -> Tensor:
        return own.up(y) * x.mean()


class Measured(StateModel):
    """A length is handed to a module, as a number, beside the tensor that has it."""

    LINES: ClassVar = ["pre sequence replicate -> shard(1)", "inner inputs(0: shard(1) -> replicate)",
                       "inner.up colwise -> replicate"]  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.pre(x)
        return self.down(self.inner(x, x.shape[1]))

    @staticmethod
    def within(own: Inner, x: Tensor, length: int) -> Tensor:
        return own.up(x).sum(1) / length


# ---- ways out of a module: its boundary would gather what it returns ---------------------------


class OutLines(StateModel):
    LINES: ClassVar = ["inner outputs(0: shard(2) -> replicate)", "inner.up colwise"]


class Last(OutLines):
    @staticmethod
    def within(own: Inner, x: Tensor) -> Tensor:
        own.last = own.up(x)
        return own.last

    @staticmethod
    def around(inner: Inner, x: Tensor) -> Tensor:
        inner(x)
        return inner.last


class Appended(OutLines):
    @staticmethod
    def within(own: Inner, x: Tensor, out: list[Tensor]) -> Tensor:
        out.append(own.up(x))
        return out[0]

    @staticmethod
    def around(inner: Inner, x: Tensor) -> Tensor:
        out: list[Tensor] = []
        inner(x, out)
        return out[0]


class Entered(OutLines):
    @staticmethod
    def within(own: Inner, x: Tensor, *, out: dict[str, Tensor]) -> Tensor:
        out["y"] = own.up(x)
        return out["y"]

    @staticmethod
    def around(inner: Inner, x: Tensor) -> Tensor:
        out: dict[str, Tensor] = {}
        inner(x, out=out)
        return out["y"]


class Seen(StateModel):
    """A module keeps what it was handed."""

    LINES: ClassVar = ["inner inputs(0: replicate -> shard(1)) outputs(0: shard(1) -> replicate)",
                       "inner.up replicate"]  # fmt: skip

    @staticmethod
    def within(own: Inner, x: Tensor) -> Tensor:
        own.last = x
        return own.up(x)

    @staticmethod
    def around(inner: Inner, x: Tensor) -> Tensor:
        return inner(x) * inner.last


class Returned(StateModel):
    """A module hands back what it was handed."""

    LINES: ClassVar = ["inner inputs(0: replicate -> shard(1)) outputs(1: shard(1) -> replicate)",
                       "inner.up replicate"]  # fmt: skip

    @staticmethod
    def within(own: Inner, x: Tensor) -> Any:
        return x, own.up(x)

    @staticmethod
    def around(inner: Inner, x: Tensor) -> Tensor:
        same, y = inner(x)
        return same * y


class Written(StateModel):
    """What is written to a copy is not written to the tensor."""

    LINES: ClassVar = ["pre sequence replicate -> shard(1)", "one outputs(0: shard(1) -> replicate)",
                       "inner inputs(0: replicate -> shard(1))", "down colwise shard(1) -> replicate"]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.pre(x)
        self.inner(self.one(x))
        return self.down(x)

    @staticmethod
    def within(_: Inner, x: Tensor) -> None:
        x.mul_(2.0)


_INTO = (Boxed, Placed, Global, Closed, Contained, Second)
_OUT = (Last, Appended, Entered)
TOYS = {kind.__name__.lower(): kind for kind in (*_INTO, Measured, *_OUT, Seen, Returned, Written)}

_BY_ITSELF = "params(weight: shard(0), bias: shard(0)) outputs(0: shard(2) -> replicate)"
CASES: tuple[tuple[str, bool, Variant], ...] = (
    *((kind.__name__.lower(), False, Variant("nothing sums what comes by another way")) for kind in _INTO),
    *((kind.__name__.lower(), True, Variant("the layer within sums", (f"{_BY_ITSELF} => colwise -> replicate",)))
      for kind in _INTO),
    ("measured", False, Variant("a length that is a rank's own")),
    ("measured", True, Variant("a length that is whole", ("- pre", "- inner inputs"))),
    *((kind.__name__.lower(), False, Variant("nothing gathers what leaves by another way")) for kind in _OUT),
    *((kind.__name__.lower(), True, Variant("gathered before it is kept",
                                            ("- inner outputs", "up colwise => up colwise -> replicate")))
      for kind in _OUT),
    *((kind.__name__.lower(), True, Variant("the next layer takes its slice", ("+ down rowwise",))) for kind in _OUT),
    ("seen", False, Variant("a slice that was kept")),
    ("seen", True, Variant("kept whole", ("- inner inputs", "inner.up replicate => inner.up colwise -> replicate"))),
    ("returned", False, Variant("a slice that is handed back")),
    ("written", False, Variant("behind two boundaries")),
    ("written", True, Variant("behind none", ("- one", "- inner"))),
    ("returned", True, Variant("both are gathered", ("outputs(1 => outputs(0: shard(1) -> replicate, 1",))),
)  # fmt: skip
