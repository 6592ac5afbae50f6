"""A network whose convolutions meet maps of 8, 4, 2 and 1 pixels a side, and data for it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH = 64


class SmallMaps(nn.Module):
    def __init__(self, middle: nn.Module | None = None):
        super().__init__()
        self.stem = nn.Conv2d(3, 128, 3, 2, 1)
        self.several = nn.Conv2d(128, 256, 3, 2, 1, bias=False)  # 4 × 4 -> 2 × 2
        self.dense = nn.Conv2d(256, 64, 3, 1, 1)  # 2 × 2
        self.halved = nn.Conv2d(64, 64, 3, 2, 1, bias=False)  # 2 × 2 -> 1 × 1
        self.middle = nn.Conv2d(64, 64, 3, 1, 1, bias=False) if middle is None else middle  # 1 × 1
        self.shortcut = nn.Conv2d(64, 64, 1, 2, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in (128, 256, 64, 64, 64))
        self.fc = nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        for layer, norm in zip((self.stem, self.several, self.dense), self.norms, strict=False):
            x = F.relu(norm(layer(x)))
        y = F.relu(self.norms[3](self.halved(x)))
        return self.fc((F.relu(self.norms[4](self.middle(y))) + self.shortcut(x)).mean((2, 3)))


CARRIED = ("several", "dense", "halved", "middle", "shortcut")


def make(net=SmallMaps, dtype=torch.float64, layout=torch.channels_last) -> nn.Module:
    """A network in training mode, the same for the same arguments."""
    torch.manual_seed(0)
    return net().to(dtype).to(memory_format=layout).train()


def data(steps: int, dtype=torch.float64, size: int = 8, classes: int = 5) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of random images (64, 3, size, size) and targets, the same for the same arguments."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        inputs = torch.randn(BATCH, 3, size, size, generator=generator, dtype=dtype)
        yield inputs.to(memory_format=torch.channels_last), torch.randint(classes, (BATCH,), generator=generator)
