"""`build_network`: a benchmark's network, for programs that load its states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forget512.harness.benchmark.networks import build, find

if TYPE_CHECKING:
    from torch import nn


def build_network(model: str, classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """Build a newly initialised network, drawn from torch's global generator.

    model: as `--model` takes it: resnet8, resnet18, …, or FILE.py:FUNCTION. image_shape: (height, width, channels).
    The network maps (b, channels, height, width) float32 to logits (b, classes).

    Raises:
        UserError: there is no such network.
    """
    return build(find(model), classes, image_shape)
