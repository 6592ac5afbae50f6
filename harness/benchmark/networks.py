"""Finds architectures by name or in a user's file, and builds them. Only building imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forget512.harness.benchmark.network_file import NetworkFile, read_network
from forget512.harness.errors import one_of

if TYPE_CHECKING:
    from torch import nn

MODELS = ("resnet8", "resnet8-thin", "resnet9", "resnet18", "resnet18-cifar")  # functions of resnets.py, with _ for -

Model = str | NetworkFile


def find(text: str) -> Model:
    """Find a built-in architecture by its name, or read a user's from FILE.py:FUNCTION.

    Raises:
        UserError: no such name, file or function.
    """
    if text in MODELS:
        return text
    return read_network(text) if ".py" in text else one_of("--model", text, (*MODELS, "FILE.py:FUNCTION"))


def build(model: Model, classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """Build a freshly initialised network on the CPU, drawn from torch's global generator.

    image_shape: (height, width, channels). Logits are (b, classes).

    Raises:
        UserError: unknown name.
    """
    if isinstance(model, NetworkFile):
        return model.build(classes, image_shape)
    from forget512.harness.benchmark import resnets

    height, width, channels = image_shape
    function = one_of("--model", model, MODELS).replace("-", "_")
    return getattr(resnets, function)(classes, channels, min(height, width))


def identity(model: Model) -> dict[str, str]:
    """Return what identifies an architecture besides the shapes of its parameters."""
    source = {"source_sha256": model.source} if isinstance(model, NetworkFile) else {}
    return {"name": str(model), **source}
