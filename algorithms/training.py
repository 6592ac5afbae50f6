"""The one training loop, and the images it reads.

A loader is a plain torch DataLoader over `Images`. Code that iterates it gets collated float batches; `train` takes
only the loader's order of indices (its batch_sampler, seeded by the run) and gathers the same batches from the
resident uint8 tensor, so that nothing is collated image by image.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


class Images(Dataset):
    """Images that live on one device as uint8 and leave it normalised.

    pixels: (n, H, W, channels) uint8, which makes every batch channels_last without a copy
    targets: (n,) int64
    mean, std: one number a channel, in units of 0 … 255
    """

    def __init__(self, pixels: Tensor, targets: Tensor, mean: Sequence[float], std: Sequence[float]):
        self.pixels, self.targets = pixels, targets
        self.mean = torch.tensor(mean, dtype=torch.float32, device=pixels.device)
        self.std = torch.tensor(std, dtype=torch.float32, device=pixels.device)

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, indices: Sequence[int] | slice) -> tuple[Tensor, Tensor]:
        """Inputs (b, channels, H, W) float32, normalised, channels_last; targets (b,) int64."""
        chosen = indices if isinstance(indices, slice) else torch.tensor(indices, device=self.pixels.device)
        inputs = self.pixels[chosen].float().sub_(self.mean).div_(self.std)
        return inputs.permute(0, 3, 1, 2), self.targets[chosen]

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """What a DataLoader fetches at once: one gather for the batch instead of one an image."""
        inputs, targets = self.batch(indices)
        return list(zip(inputs.unbind(), targets.tolist(), strict=True))


def train(
    net: nn.Module,
    loader: DataLoader,
    *,
    epochs: int,
    lr: float,
    schedule: Callable[[float], float] = lambda progress: 1.0,
    loss: Loss | None = None,
    augment: Callable[[Tensor], Tensor] | None = None,
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Train net in place with SGD over loader's images, in loader's order; returns net.

    schedule: factor of lr, given the epochs done so far (fractional: 1.5 is the middle of the second epoch)
    loss: (logits (b, C), inputs (b, channels, H, W), targets (b,)) -> scalar; cross-entropy if None
    augment: inputs -> inputs, on the device, for each batch
    """
    images: Images = loader.dataset  # type: ignore[assignment]
    optimizer = torch.optim.SGD(
        net.parameters(), lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True
    )
    net.train()
    for epoch in range(epochs):
        for step, indices in enumerate(loader.batch_sampler):  # type: ignore[arg-type]
            if len(indices) == 1:
                continue  # batch norm has no variance to take over one example
            optimizer.param_groups[0]["lr"] = lr * schedule(epoch + step / len(loader))
            inputs, targets = images.batch(indices)
            if augment is not None:
                inputs = augment(inputs)
            logits = net(inputs)
            value = F.cross_entropy(logits, targets) if loss is None else loss(logits, inputs, targets)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    return net


def cosine(epochs: float) -> Callable[[float], float]:
    """Half a cosine from 1 to 0 over the epochs, step by step."""
    return lambda progress: 0.5 * (1 + math.cos(math.pi * min(progress / epochs, 1.0)))


def cosine_by_epoch(t_max: int) -> Callable[[float], float]:
    """PyTorch's CosineAnnealingLR stepped once an epoch: constant within each."""
    return lambda progress: 0.5 * (1 + math.cos(math.pi * math.floor(progress) / t_max))


def flip_and_crop(inputs: Tensor, padding: int) -> Tensor:
    """Mirror half of the images, and shift each by up to padding pixels (the border filled with the mean, 0)."""
    n, _, height, width = inputs.shape
    device = inputs.device
    top = torch.randint(2 * padding + 1, (n, 1), device=device)
    left = torch.randint(2 * padding + 1, (n, 1), device=device)
    mirrored = torch.rand(n, 1, device=device) < 0.5
    rows = top + torch.arange(height, device=device)
    columns = torch.arange(width, device=device).expand(n, width)
    columns = left + torch.where(mirrored, width - 1 - columns, columns)
    padded = F.pad(inputs, (padding,) * 4).permute(0, 2, 3, 1)
    image = torch.arange(n, device=device)[:, None, None]
    return padded[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def reinitialise(conv: nn.Conv2d) -> None:
    """Draw a convolution anew as torchvision's ResNets do at construction: Kaiming normal over the fan-out."""
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
