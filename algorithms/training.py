"""The one training loop, and the images it reads.

A loader is a plain torch DataLoader over `Images`. Code that iterates it gets collated float batches; `batches` takes
only the loader's order of indices (its batch_sampler, seeded by the run) and gathers the same batches from the
resident uint8 tensor, so that nothing is collated image by image.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

from forget512.algorithms.engines.choice import carry
from forget512.algorithms.tools.layout import laid_out

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
        chosen = indices if isinstance(indices, slice) else _on_device(indices, self.pixels.device)
        inputs = self.pixels[chosen].float().sub_(self.mean).div_(self.std)
        return inputs.permute(0, 3, 1, 2), self.targets[chosen]

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """What a DataLoader fetches at once: one gather for the batch instead of one an image."""
        inputs, targets = self.batch(indices)
        return list(zip(inputs.unbind(), targets.tolist(), strict=True))


def _on_device(indices: Sequence[int], device: torch.device) -> Tensor:
    found = torch.tensor(indices)
    if device.type == "cuda":
        found = found.pin_memory()  # the host would wait until the device has all its work done
    return found.to(device, non_blocking=True)


def batches(loader: DataLoader, device: torch.device | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """One pass over loader's images in loader's order: inputs (b, channels, H, W) and targets (b,), on device.

    A batch of one joins the one before it, and a set of one image gives it twice: batch norm has no variance to take
    over one example. (Where all batches are of one, they stay so.) A loader over another data set than `Images` is
    iterated itself.

    Raises:
        ValueError: the pass gave no batch.
    """
    images = loader.dataset
    given = map(images.batch, loader.batch_sampler) if isinstance(images, Images) else loader  # type: ignore[arg-type]
    for inputs, targets in _no_lone_ones(given):
        yield (inputs, targets) if device is None else (inputs.to(device), targets.to(device))


def endless(loader: DataLoader, device: torch.device | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Pass after pass of `batches`: what a shorter set is paired by with a longer one."""
    while True:
        yield from batches(loader, device)


def resized(loader: DataLoader, batch_size: int) -> DataLoader:
    """The same images in the same order, in batches of another size.

    Raises:
        ValueError: the size is below 2, or as `order`.
    """
    if batch_size < 2:
        raise ValueError(f"a batch size of {batch_size}: give 2 or more, over which batch norm takes a variance")
    return DataLoader(
        loader.dataset, batch_size, sampler=order(loader), collate_fn=loader.collate_fn, generator=loader.generator
    )


def order(loader: DataLoader) -> Sampler[int]:
    """The sampler of loader's images one by one, from which other loaders over the same images are made.

    Raises:
        ValueError: it has none that says which images a pass takes: a batch sampler of its own, or no numbered images.
    """
    if loader.batch_size is None or isinstance(loader.dataset, IterableDataset):
        raise ValueError(
            "this method batches its images anew, and this loader does not say which they are one by one: "
            "make it with batch_size=… (and sampler=…) over a data set with numbered images"
        )
    return loader.sampler  # type: ignore[return-value]


def _no_lone_ones(given: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    def join(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return torch.cat([one[0], other[0]]), torch.cat([one[1], other[1]])

    held, only = None, True
    for batch in given:
        if held is None:
            held = batch
        elif len(batch[1]) == 1 < len(held[1]):
            held = join(held, batch)
        else:
            yield held
            held, only = batch, False
    if held is None:
        raise ValueError(
            "a pass over this loader gives no batch: give it images, and with drop_last=True a whole batch of them"
        )
    yield join(held, held) if only and len(held[1]) == 1 else held


def train(
    net: nn.Module,
    loader: DataLoader,
    *,
    epochs: float,
    lr: float,
    schedule: Callable[[float], float] = lambda progress: 1.0,
    loss: Loss | None = None,
    augment: Callable[[Tensor], Tensor] | None = None,
    adjust: Callable[[], None] | None = None,
    parameters: Iterable[nn.Parameter] | None = None,
    frozen: Iterable[nn.Module] = (),
    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    replayable: bool | None = None,
) -> nn.Module:
    """Train net in place over loader's images, in loader's order; returns net. ValueError as `batches`.

    epochs: passes over the loader; 3.2 stops after a fifth of the fourth one
    schedule: factor of lr, given the epochs done so far (fractional: 1.5 is the middle of the second epoch)
    loss: (logits (b, C), inputs (b, channels, H, W), targets (b,)) -> scalar; cross-entropy if None
    augment: inputs -> inputs, on the device, for each batch
    adjust: called when the gradients stand and before the step: masks, scales or clips them
    parameters: those that are trained; all of net's if None
    frozen: modules that stay bit for bit as they are: no gradient, and evaluation mode for their batch norms
    optimizer: makes one from the parameters; SGD with lr, momentum and weight_decay if None
    replayable: whether loss, augment and adjust do the same in every step, by operations on tensors of the device
                alone: no counter, no next batch of another loader, no number that `schedule` changes. A GPU may then
                repeat a recorded step without them. None: only if there are none of them

    The steps are carried out by the fastest engine that can do this: `engines/choice.py`. Meanwhile the network's
    tensors may lie in other memory and in channels_last layout; afterwards they are as they were, with new values.
    """
    frozen = list(frozen)
    held = [p for module in frozen for p in module.parameters() if p.requires_grad]
    for parameter in held:
        parameter.requires_grad_(False)
    trained = [p for p in (net.parameters() if parameters is None else parameters) if p.requires_grad]
    if optimizer is None:
        steps: torch.optim.Optimizer = torch.optim.SGD(
            trained, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True
        )
    else:
        steps = optimizer(trained)
    device = next(net.parameters()).device
    net.train()
    for module in frozen:
        module.eval()
    if replayable is None:
        replayable = loss is None and augment is None and adjust is None

    def step(inputs: Tensor, targets: Tensor) -> None:
        if augment is not None:
            inputs = augment(inputs)
        logits = engine.forward(inputs)
        value = F.cross_entropy(logits, targets) if loss is None else loss(logits, inputs, targets)
        engine.backward(value)
        if adjust is not None:
            adjust()
        engine.step()

    watched, count = loss is not None or adjust is not None, math.ceil(epochs * len(loader)) if epochs else 0
    with carry(net, steps, watched, replayable=count if replayable else 0) as engine:
        for progress, inputs, targets in _passes(loader, epochs, device):
            for group in steps.param_groups:
                group["lr"] = lr * schedule(progress)
            engine.carry_out(step, inputs, targets)
    for parameter in held:
        parameter.requires_grad_(True)
    return net


def _passes(loader: DataLoader, epochs: float, device: torch.device) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Batches with the epochs done before each."""
    for epoch in range(math.ceil(epochs)):
        for step, (inputs, targets) in enumerate(batches(loader, device)):
            progress = epoch + step / len(loader)
            if progress >= epochs:
                return
            yield progress, inputs, targets


def cosine(epochs: float) -> Callable[[float], float]:
    """Half a cosine from 1 to 0 over the epochs, step by step."""
    return lambda progress: 0.5 * (1 + math.cos(math.pi * min(progress / epochs, 1.0)))


def linear(epochs: float) -> Callable[[float], float]:
    """A straight line from 1 to 0 over the epochs, step by step."""
    return lambda progress: 1 - min(progress / epochs, 1.0)


def stepped(milestones: Sequence[float], factor: float) -> Callable[[float], float]:
    """1, and factor times as much after each milestone (in epochs) that is passed: PyTorch's MultiStepLR."""
    return lambda progress: factor ** sum(progress >= milestone for milestone in milestones)


def cosine_by_epoch(t_max: int) -> Callable[[float], float]:
    """PyTorch's CosineAnnealingLR stepped once an epoch: constant within each."""
    return lambda progress: 0.5 * (1 + math.cos(math.pi * math.floor(progress) / t_max))


def flip_and_crop(inputs: Tensor, padding: int, mirror: float = 0.5) -> Tensor:
    """Mirror a share of the images, and shift each by up to padding pixels (the border filled with the mean, 0)."""
    n, _, height, width = inputs.shape
    device = inputs.device
    top = torch.randint(2 * padding + 1, (n, 1), device=device)
    left = torch.randint(2 * padding + 1, (n, 1), device=device)
    mirrored = torch.rand(n, 1, device=device) < mirror
    rows = top + torch.arange(height, device=device)
    columns = torch.arange(width, device=device).expand(n, width)
    columns = left + torch.where(mirrored, width - 1 - columns, columns)
    padded = F.pad(inputs, (padding,) * 4).permute(0, 2, 3, 1)
    image = torch.arange(n, device=device)[:, None, None]
    return padded[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def reinitialise(layer: nn.Module) -> None:
    """Draw a convolution or linear layer anew as torchvision's ResNets do at construction.

    Convolutions: Kaiming normal over the fan-out, bias 0; any other layer: PyTorch's own reset. So it is in every
    network, whatever that network's own initialisation. Weights are drawn in the order of their indices, whatever their
    layout in memory.

    Raises:
        ValueError: as `check_own_weight`; nothing is changed then.
    """
    check_own_weight(layer)
    if isinstance(layer, nn.Conv2d):
        with laid_out([layer.weight], torch.contiguous_format):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    else:
        with laid_out(layer.parameters(recurse=False), torch.contiguous_format):
            layer.reset_parameters()  # type: ignore[operator]


def check_own_weight(layer: nn.Module) -> None:
    """Raise ValueError if a convolution or linear layer computes its weight: what is written there would be lost."""
    if isinstance(layer, nn.Conv2d | nn.Linear) and not isinstance(layer.weight, nn.Parameter):
        raise ValueError(
            f"this method writes to layers' weights, and this network's {type(layer).__name__} computes its own from "
            "other parameters, as weight_norm does: give a network without that"
        )


def onward(schedule: Callable[[float], float], done: int) -> Callable[[float], float]:
    """schedule as it goes on after `done` epochs: for a training that is cut into several."""
    return lambda progress: schedule(done + progress)
