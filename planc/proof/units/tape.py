"""A forward pass as autograd records it, with what FSDP adds to it."""

from __future__ import annotations

from planc.ir.record import Record
from planc.proof.units.unit_map import FsdpUnit


class Traced:
    """A tensor of the forward pass.

    Args:
        node: the number of the node that computes its gradient; None: it has none.
        memory: the units in whose parameters' memory it may lie.
        base: the node of the tensor that it is a view of; None: it is no view.
        argument_of: the unit that got it as an argument; None: no unit did, or it has no gradient.
    """

    __slots__ = ("argument_of", "base", "memory", "node")

    def __init__(
        self,
        node: int | None,
        memory: frozenset[FsdpUnit] = frozenset(),
        base: int | None = None,
        argument_of: FsdpUnit | None = None,
    ) -> None:
        self.node, self.memory, self.base, self.argument_of = node, memory, base, argument_of


class Step(Record):
    """Where in the model something happens."""

    module: str
    """The module whose code runs."""
    operation: str
    """The torch function, or the module that is called."""


class Node(Record):
    """One node of autograd's graph. Autograd runs the nodes in the reverse order of their numbers."""

    operands: tuple[int, ...]
    """The nodes that get a gradient from it."""
    step: Step
    saved: tuple[FsdpUnit, ...] = ()
    """The units whose parameters it needs in the backward pass."""
    accumulates: tuple[FsdpUnit, ...] = ()
    """The units to whose parameters it gives a gradient."""
    reduces: FsdpUnit | None = None
    """The unit whose gradients FSDP reduces here: the node of its inputs."""


class Tape:
    """All nodes of a forward pass, and the hooks that FSDP hangs on results."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.hooks: dict[int, list[FsdpUnit]] = {}
        """The units that are gathered before a node runs in the backward pass."""
        self.gathered: set[FsdpUnit] = set()
        """The units that are gathered at this moment of the forward pass."""
        self.viewed: dict[int, list[FsdpUnit]] = {}
        """The units that have returned views of the tensor that a node computes."""
        self.dropped: dict[FsdpUnit, Step] = {}
        """Where code changes such a view in place, so that autograd drops the hooks on it."""

    def add(self, node: Node) -> int:
        """Append a node, and give its number."""
        self.nodes.append(node)
        return len(self.nodes) - 1

    def hook(self, tensor: Traced, unit: FsdpUnit) -> None:
        """Gather a unit before the gradient of a tensor flows on."""
        if tensor.node is not None:
            self.hooks.setdefault(tensor.node, []).append(unit)
            if tensor.base is not None:
                self.viewed.setdefault(tensor.base, []).append(unit)

    def change(self, tensor: Traced, step: Step) -> None:
        """A tensor is changed in place."""
        for unit in self.viewed.get(-1 if tensor.base is None else tensor.base, ()):
            self.dropped.setdefault(unit, step)
