"""Models of torchvision and timm, where they are installed: factories with example inputs.

The wheel of torchvision at PyPI is built for GPUs. With a torch for CPUs its C library does not load, and its Python part,
which the models are written in, wants the names of two operators.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

_SMALL = (
    "atto",
    "femto",
    "pico",
    "nano",
    "xxs",
    "xx_small",
    "xs",
    "x_small",
    "tiny",
    "small",
    "_s",
    "18",
    "b0",
)
"""Parts of the names of a family's small models, the smallest first."""
_SEGMENTATION = ("segmentation/fcn_resnet50", "segmentation/deeplabv3_resnet50")
_DETECTION = ("detection/retinanet_resnet50_fpn", "detection/ssd300_vgg16")


def load_torchvision() -> Any:
    """The module torchvision.

    Raises:
        ImportError: it is not installed, or not for this torch.
    """
    for name in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):  # its C library has defined it
            torch.library.define(
                f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
    try:
        import torchvision  # type: ignore[import-not-found]
    except RuntimeError as raised:
        raise ImportError(str(raised)) from raised
    return torchvision


def torchvision_names() -> Iterator[str]:
    """All models for classification, two for segmentation and two for detection."""
    models: Any = load_torchvision().models
    yield from models.list_models(module=models)
    yield from (*_SEGMENTATION, *_DETECTION)


def timm_names() -> Iterator[str]:
    """A small model of each family of timm."""
    load_torchvision()
    import timm  # type: ignore[import-not-found]

    for family in sorted(timm.list_modules()):
        names = timm.list_models(module=family)
        if names:
            yield min(names, key=lambda name: (_size_rank(name), len(name), name))


def _size_rank(name: str) -> int:
    return next((rank for rank, part in enumerate(_SMALL) if part in name), len(_SMALL))


def build_torchvision(name: str) -> tuple[nn.Module, tuple[Any, ...]]:
    """A model of torchvision and its inputs."""
    models: Any = load_torchvision().models
    task, _, last = name.rpartition("/")
    build = models.get_model_builder(last)
    options: dict[str, Any] = {"weights": None, **({"weights_backbone": None} if task else {})}
    model = build(**options)
    side = 299 if "inception" in name else 96 if task else 224
    image = torch.randn(2, 3, side, side)
    if task != "detection":
        return model, (image,)
    target = {"boxes": torch.tensor([[4.0, 4.0, 40.0, 40.0]]), "labels": torch.tensor([1])}
    return model, (list(image), [target, target])


def build_timm(name: str) -> tuple[nn.Module, tuple[Any, ...]]:
    """A model of timm and its inputs."""
    load_torchvision()
    import timm

    model = timm.create_model(name)
    return model, (torch.randn(2, *model.default_cfg["input_size"]),)


def __getattr__(name: str) -> Callable[[], tuple[nn.Module, tuple[Any, ...]]]:
    """The factory of a model: `timm_NAME`, `torchvision_NAME`, with `__` for a slash."""
    source, _, model = name.partition("_")
    build = {"timm": build_timm, "torchvision": build_torchvision}.get(source)
    if build is None:
        raise AttributeError(name)
    return lambda: build(model.replace("__", "/"))
