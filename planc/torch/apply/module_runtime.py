"""What planc does while a module runs: one object for a module, with an ordered list of steps.

Outermost first, a module can have these steps. Those above the first line run in hooks, those between the
lines replace its forward, once:

    CallGuard               refuses calls that the proof does not cover, at the model itself, before all others
    ResultGuard             refuses results that the proof does not cover, at the model itself
    VocabParallelOutput     the logits leave the model as a `VocabParallelLogits`
    (hooks of FSDP2)
    UncapturedCall          refuses calls of a module that the captured call did not use
    DeferredBias            adds a bias after the all-reduce of the output
    InputRedistribution     changes the layout of arguments
    OutputRedistribution    changes the layout of results
    MaskedLookup            looks up the rows of the rank's slice of a table
    RngPass                 counts calls anew, on the model itself
    RngScope                chooses the stream of random numbers
    LocalHooks              puts local tensors in the place of the parameters, for the hooks below
    (hooks that the module had before the plan was applied: the proof saw them inside of the boundary)
    ------
    CompiledForward         torch.compile
    CheckpointedForward     runs what is below a second time in the backward pass, without hooks
    OverlappedLinear        returns a product that was computed during the gather of its input
    LocalForward            puts local tensors in the place of the parameters, and of sharded buffers
    LocalRowAttributes      numbers the padding row of a table as the rank's slice does
    ------
    the module's own forward

A second tensor axis adds its steps outside of those of the first, hooks and forward each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import nn

_ATTRIBUTE = "_planc_runtime"


class HookStep:
    """A step outside of the module's own hooks. Steps are plain objects with plain data: hooks are compiled
    with the module around theirs, and equal layers must compile to one graph."""

    def enter(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Change the arguments of a call."""
        raise NotImplementedError

    def leave(self, result: Any) -> Any:
        """Change the result of a call."""
        raise NotImplementedError

    def close(self) -> None:
        """Clean up at the end of a call, also of one that raises."""
        raise NotImplementedError


class ResultStep:
    """A step that gets the result of a call last of all."""

    def hook(self, module: nn.Module, args: Any, result: Any) -> Any:
        """Change the result."""
        raise NotImplementedError


class ForwardStep:
    """A step around the module's forward. Its method is called, not a function or a partial: compiled layers
    would differ by the identity of these."""

    inner: Callable[..., Any]
    """The next step's `run`, or the module's own forward."""

    def wrap(self, inner: Callable[..., Any]) -> None:
        """Place this step around another one."""
        self.inner = inner

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """The forward, as far as this step and those inside of it."""
        raise NotImplementedError


class ModuleRuntime:
    """All that planc does while one module runs. `of` makes it, or finds it."""

    def __init__(self, module: nn.Module) -> None:
        self.result_steps: list[ResultStep] = []
        self.hook_steps: list[HookStep] = []
        self.forward_steps: list[ForwardStep] = []
        self._outermost: Callable[..., Any] = module.forward
        self._entering: list[HookStep] = []
        self._leaving: list[HookStep] = []
        self._closing: list[HookStep] = []

    @classmethod
    def of(cls, module: nn.Module) -> ModuleRuntime:
        """The runtime of a module; a module that has none gets one."""
        found: ModuleRuntime | None = getattr(module, _ATTRIBUTE, None)
        if found is None:
            found = cls(module)
            setattr(module, _ATTRIBUTE, found)
        return found

    @property
    def steps(self) -> list[ResultStep | HookStep | ForwardStep]:
        """All steps, outermost first."""
        return [*self.result_steps, *self.hook_steps, *self.forward_steps]

    def add_hook_steps(self, module: nn.Module, steps: Sequence[HookStep]) -> None:
        """Add steps outside of the hook steps that the module has, outermost first."""
        self.hook_steps[:0] = steps
        entering = [step for step in steps if _overrides(step, "enter")]
        leaving = [step for step in reversed(steps) if _overrides(step, "leave")]
        closing = [step for step in reversed(steps) if _overrides(step, "close")]
        # No hook is registered without a step for it: it would cost time in every call.
        if entering and not self._entering:
            # Hooks that the module had when it was captured run inside of its boundary.
            module.register_forward_pre_hook(self._enter, with_kwargs=True, prepend=True)
        if closing and not self._closing:
            module.register_forward_hook(self._close, with_kwargs=True, always_call=True)
        if leaving and not self._leaving:
            module.register_forward_hook(self._leave, with_kwargs=True)
        self._entering[:0] = entering
        self._leaving += leaving
        self._closing += closing

    def add_result_step(self, module: nn.Module, step: ResultStep) -> None:
        """Add a step that gets the result after every hook that the module has, also those of FSDP2."""
        self.result_steps.insert(0, step)
        module.register_forward_hook(step.hook)

    def add_forward_step(self, module: nn.Module, step: ForwardStep) -> None:
        """Add a step around the forward steps that the module has."""
        step.wrap(self._outermost)
        if not self.forward_steps:
            module.forward = self.forward
        self.forward_steps.insert(0, step)
        self._outermost = step.run

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The forward of the module, with all steps around it."""
        return self._outermost(*args, **kwargs)

    def _enter(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        for step in self._entering:
            args, kwargs = step.enter(module, args, kwargs)
        return args, kwargs

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> Any:
        for step in self._leaving:
            result = step.leave(result)
        return result

    def _close(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        for step in self._closing:
            step.close()


def forward_steps_within(module: nn.Module) -> Iterator[ForwardStep]:
    """The forward steps of a module and of those in it."""
    for inner in module.modules():
        found: ModuleRuntime | None = getattr(inner, _ATTRIBUTE, None)
        if found is not None:
            yield from found.forward_steps


def _overrides(step: HookStep, method: str) -> bool:
    return getattr(type(step), method) is not getattr(HookStep, method)
