"""The inputs that planc calls a model of transformers with unless the user names others.

A model is given what it needs and the modalities that it accepts: text, images, sound. Where several calls are possible,
the first that a copy on the meta device accepts is the one.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.graph import TensorInfo
from planc.torch.compat import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from planc.torch.models.config_sizes import ConfigSizes
from planc.torch.models.example_inputs import meta_tensor
from planc.torch.models.input_rows import BATCH, INPUT_ROWS, sequence_length
from planc.torch.models.model_class import is_for_multiple_choice
from planc.torch.models.value_checks import quiet_fake_tensors, without_value_checks

_CHOICES = 2
_MAX_ATTEMPTS = 16

Infos = dict[str, TensorInfo]


def default_inputs(model: nn.Module, config: Any, build: Callable[[], nn.Module]) -> Infos:
    """The inputs of a model, by name.

    Args:
        model: the model.
        config: its configuration.
        build: makes a copy of it on the meta device, to try calls with; a model of text alone needs none.
    """
    candidates = list(islice(_candidates(model, config), _MAX_ATTEMPTS))
    if len(candidates) < 2 or _is_text(candidates[0]):
        return candidates[0] if candidates else {}
    reading: Infos | None = None
    for infos in candidates:
        raised = call_on_meta(build(), infos)
        # Code that makes a tensor on another device than the meta device has taken the inputs so far.
        if raised is None or "(meta)" in str(raised):
            return infos
        if reading is None and asks_for_values(raised):
            reading = infos
    return reading or candidates[0]


def _is_text(infos: Infos) -> bool:
    """Whether a call has nothing but tokens, which have one shape."""
    return all(INPUT_ROWS[name].values == "tokens" for name in infos)


def call_on_meta(model: nn.Module, infos: Mapping[str, TensorInfo]) -> Exception | None:
    """What a model on the meta device raises when it is called; None: nothing."""
    keywords: dict[str, Any] = {name: meta_tensor(info) for name, info in infos.items()}
    if "use_cache" in inspect.signature(model.forward).parameters:
        keywords["use_cache"] = False
    try:
        with (
            FakeTensorMode(allow_non_fake_inputs=True),
            torch.no_grad(),
            torch.device("meta"),
            warnings.catch_warnings(),
            without_value_checks(keywords),
            quiet_fake_tensors(),
        ):
            warnings.simplefilter("ignore")
            # Fake ones: transformers' code leaves out what needs values where it sees those.
            model.train()(
                **{
                    name: item.clone() if isinstance(item, Tensor) else item
                    for name, item in keywords.items()
                }
            )
    except Exception as raised:  # noqa: BLE001  # the model's code may fail in any way
        return raised
    return None


def asks_for_values(raised: Exception) -> bool:
    """Whether code asked for values, which the meta device does not have: the inputs' shapes were right until then."""
    return isinstance(
        raised, NotImplementedError | DataDependentOutputException | DynamicOutputShapeException
    )


def _candidates(model: nn.Module, config: Any) -> Iterator[Infos]:
    """The calls to try, the most complete first."""
    sizes, seen = ConfigSizes(config), []
    for names in _name_sets(model, config):
        if names in seen:
            continue
        seen.append(names)
        choices = [[(name, info) for info in INPUT_ROWS[name].infos(sizes)] for name in names]
        for chosen in product(*choices):
            yield _with_choices(model, config, dict(chosen))


def _name_sets(model: nn.Module, config: Any) -> Iterator[list[str]]:
    """Names of the inputs to give, in the order of the model's arguments."""
    parameters = inspect.signature(model.forward).parameters.values()
    accepted = {p.name: p.default is p.empty for p in parameters if p.name in INPUT_ROWS}
    main: Any = getattr(model, "main_input_name", "input_ids")
    needed = {name for name, is_needed in accepted.items() if is_needed}
    needed |= set([main] if isinstance(main, str) else main) & set(INPUT_ROWS)
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in accepted:
        needed.add("decoder_input_ids")

    def those(*kinds: str, without: Sequence[str] = ()) -> list[str]:
        wanted = needed | {
            name for name in accepted if INPUT_ROWS[name].kind in kinds and name not in without
        }
        return [name for name in (*accepted, *sorted(needed - set(accepted))) if name in wanted]

    videos = ["pixel_values_videos"] if "pixel_values" in accepted else []
    yield those("modality", without=videos)
    yield those()
    yield those("modality")
    yield those("mask", without=videos)
    yield those("modality", "mask", without=videos)
    yield those("modality", "mask", "extra", without=[*videos, "inputs_embeds"])


def _with_choices(model: nn.Module, config: Any, infos: Infos) -> Infos:
    """A text for each choice, where the model chooses between several."""
    if not is_for_multiple_choice(type(model)):
        return infos
    text = (BATCH, sequence_length(config))
    return {
        name: TensorInfo((BATCH, _CHOICES, *info.shape[1:]), info.dtype) if info.shape[:2] == text else info
        for name, info in infos.items()
    }
