"""Sizes that a configuration of transformers gives, its own or those of the configurations inside of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

_SECTIONS = {
    "text": ("text_config", "decoder", "language_config", "llm_config", "thinker_config"),
    "vision": ("vision_config", "backbone_config", "encoder", "image_encoder", "vision_encoder_config"),
    "audio": ("audio_config", "audio_encoder", "encoder", "speech_config", "audio_encoder_config"),
}
"""Names of the configurations of the parts of a model that takes text, images, audio."""


def nested_configs(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A configuration and those inside of it, each with the prefix of its settings' names."""
    yield prefix, config
    for name, value in vars(config).items():
        if hasattr(value, "to_dict") and not name.startswith("_"):
            yield from nested_configs(value, f"{prefix}{name}.")


def config_value(config: Any, name: str) -> Any:
    """A setting of a configuration; None where it has none, or one for each layer."""
    with contextlib.suppress(Exception):  # some configurations raise errors of their own
        return getattr(config, name, None)
    return None


class ConfigSizes:
    """Looks sizes up in a configuration."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self._all = [part for _, part in nested_configs(config)]

    def find(self, part: str, *names: str) -> Any:
        """The first setting of these names that is set: in the configuration of a part (`text`, `vision`, `audio`), in
        the model's own, in any inside of it. None: there is none."""
        sections = [config_value(self.config, name) for name in _SECTIONS.get(part, ())]
        nested = [inner for one in sections if hasattr(one, "to_dict") for _, inner in nested_configs(one)]
        for section in (*nested, self.config, *self._all):
            for name in names:
                value = config_value(section, name)
                if value is not None and value is not False:
                    return value
        return None

    def size(self, part: str, *names: str, default: int) -> int:
        """A whole number among the settings, the first of a list."""
        value = self.find(part, *names)
        while isinstance(value, list | tuple) and value:
            value = value[0]
        return value if type(value) is int and value > 0 else default

    def root_setting(self, name: str) -> Any:
        """A setting of the model's own configuration."""
        return config_value(self.config, name)

    def image(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        size = self.find("vision", "image_size", "input_size", "img_size")
        if isinstance(size, dict):
            size = (size.get("height", 224), size.get("width", 224))
        if not isinstance(size, list | tuple) or not size:
            size = (size, size)
        height, width = (side if type(side) is int and side > 0 else 224 for side in (size[0], size[-1]))
        names = ("num_channels", "in_channels", "in_chans", "num_image_channels")
        return self.size("vision", *names, default=3), height, width
