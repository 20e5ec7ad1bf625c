"""Small models of the shipped families, what they are called with, and plans for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.judge.compare import build_family
from tests.judge.families import FAMILIES

BATCH = 4


def build_model(name: str) -> nn.Module:
    """A small model of a family, the same on every call: float32, no dropout, in training."""
    made = FAMILIES[name]
    model = build_family(made.model, _settings(name))[0].float()
    if name == "t5":
        # It does not scale its scores: as large as these they would make rounding large, too.
        with torch.no_grad():
            for key, param in model.named_parameters():
                if key.endswith("Attention.q.weight"):
                    param.mul_(0.25)
    return model


def _settings(name: str) -> dict[str, Any]:
    settings = FAMILIES[name].settings
    # T5's own activation has a corner: rounding decides on which side of it a number lies.
    return {**settings, "feed_forward_proj": "gelu"} if name == "t5" else settings


def example_inputs(name: str, seed: int = 1) -> dict[str, Any]:
    """What the model is called with."""
    random = torch.Generator().manual_seed(seed)
    return {key: _input(shape, dtype, random) for key, (shape, dtype) in input_shapes(name).items()}


def input_shapes(name: str) -> dict[str, tuple[tuple[int, ...], str]]:
    """The inputs of a family: shapes and types."""
    made = FAMILIES[name]
    if name == "vit":
        size = made.settings["image_size"]
        return {"pixel_values": ((BATCH, 3, size, size), "float32")}
    if name == "whisper":
        frames = 2 * made.settings["max_source_positions"]
        sound = ((BATCH, made.settings["num_mel_bins"], frames), "float32")
        return {"input_features": sound, "decoder_input_ids": ((BATCH, 8), "int64")}
    found = {"input_ids": ((BATCH, 12), "int64")}
    if name == "t5":
        found["decoder_input_ids"] = ((BATCH, 8), "int64")
    return found


def _input(shape: tuple[int, ...], dtype: str, random: torch.Generator) -> Tensor:
    if dtype == "float32":
        return torch.randn(shape, generator=random)
    ids = torch.randint(0, 256, shape, generator=random)
    # The token of padding, whose row of a table gets no gradient, and the first of the second half,
    # which is the same row for the rank that has it.
    ids[0, -1], ids[1, -1] = 0, 128
    return ids


def model_reference(name: str) -> tuple[str, list[str]]:
    """What the graph is captured from, and with which inputs."""
    inputs = [
        f"{key}={dtype}[{','.join(map(str, shape))}]" for key, (shape, dtype) in input_shapes(name).items()
    ]
    made = FAMILIES[name]
    return made._replace(settings=_settings(name)).reference, inputs


def plan_text(
    name: str,
    *,
    pods: bool = False,
    recompute: bool = True,
    mode: str = "",
    params: str = "fp32",
    overlap: bool = False,
) -> str:
    """A shipped plan in float32 or what `params` says, for a test; `mode`: how blocks are recomputed."""
    lines = [f"plan small_{name}", f"extends {name}"]
    if pods:
        lines.append("override mesh pod, dp, tp")
    lines.append(f"fsdp dp {'replicate pod ' if pods else ''}{{\n    override params: {params}\n}}")
    if overlap:
        lines.append("tensor tp {\n    overlap: true\n}")
    if not recompute or mode:
        lines.append(
            "recompute {\n    " + (f"override block {mode}" if recompute else "remove block") + "\n}"
        )
    return "\n".join(lines) + "\n"


def plan_options(name: str, sequence_parallel: bool) -> dict[str, bool]:
    """The options of a shipped plan."""
    return {} if sequence_parallel or name == "vit" else {"sequence_parallel": False}
