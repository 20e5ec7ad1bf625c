"""Random numbers of values that ranks hold different slices of: each rank draws its own."""

from __future__ import annotations

import torch
from torch.distributed import ProcessGroup


class Chance:
    """Switches to numbers of the rank's own, and back.

    The own numbers follow from the common ones, so that recomputing a region, which goes back
    to the common state it began with, draws the same again.
    """

    def __init__(self, group: ProcessGroup, apart: tuple[bool, ...]) -> None:
        self.rank, self.apart = group.rank(), apart
        """Whether each call of the module in one forward pass draws for split values."""
        self._calls = 0
        self._kept: list[tuple[torch.Tensor, torch.Tensor | None] | None] = []

    def begin(self) -> None:
        """From here on the rank draws its own numbers."""
        apart = self.apart[self._calls % len(self.apart)]
        self._calls += 1
        if not apart:
            self._kept.append(None)
            return
        seed = int(torch.randint(2**31, ()).item())
        on_device = torch.cuda.is_available()
        self._kept.append((torch.get_rng_state(), torch.cuda.get_rng_state() if on_device else None))
        torch.manual_seed(seed + 1_000_003 * (self.rank + 1))

    def end(self) -> None:
        """From here on all ranks of the group draw the same numbers again."""
        kept = self._kept.pop() if self._kept else None
        if kept is not None:
            common, on_device = kept
            torch.set_rng_state(common)
            if on_device is not None:
                torch.cuda.set_rng_state(on_device)
