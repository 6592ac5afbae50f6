"""Small images, their loaders as the harness makes them, and networks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, RandomSampler

from forget512.algorithms import ALGORITHMS
from forget512.algorithms.training import Images, cosine, train
from forget512.harness.benchmark import networks


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """As in an actor: sums have one order."""
    torch.set_num_threads(1)


@pytest.fixture
def float64(monkeypatch) -> Iterator[None]:
    """All computes in float64: new tensors, and what is written as float()."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="session")
def make_images() -> Callable[..., Images]:
    """make_images(n, size, channels): random images in 3 classes; image i differs from all others."""

    def make(n: int = 26, size: int = 8, channels: int = 1, seed: int = 0) -> Images:
        generator = torch.Generator().manual_seed(seed)
        pixels = torch.randint(256, (n, size, size, channels), generator=generator, dtype=torch.uint8)
        return Images(pixels, torch.arange(n) % 3, [120.0] * channels, [70.0] * channels)

    return make


@pytest.fixture(scope="session")
def make_loader() -> Callable[..., DataLoader]:
    """make_loader(images, batch_size): shuffled; the order has a generator of its own."""

    def make(images: Images, batch_size: int = 8, seed: int = 0, drop_last: bool = False) -> DataLoader:
        order = RandomSampler(images, generator=torch.Generator().manual_seed(seed))
        return DataLoader(images, batch_size, sampler=order, drop_last=drop_last, generator=torch.Generator())

    return make


@pytest.fixture(scope="session")
def make_net() -> Callable[..., nn.Module]:
    """make_net(name, size, channels): a network of the harness for 3 classes, the same for the same seed."""

    def make(name: str = "resnet8-thin", size: int = 8, channels: int = 1, seed: int = 0) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return networks.build(name, 3, (size, size, channels))

    return make


@pytest.fixture(scope="session")
def small_sets(make_images) -> tuple[Images, Images, Images]:
    """Retain (26), forget (6) and validation (12) images in 3 classes."""
    return make_images(26, seed=0), make_images(6, seed=1), make_images(12, seed=2)


@pytest.fixture(scope="session")
def loaders(small_sets, make_loader) -> Callable[..., dict[str, DataLoader]]:
    """loaders(function, batch_size, retain=…): new ones of the sets that a method reads, by name."""

    def make(function: Callable, batch_size: int = 8, **images: Images) -> dict[str, DataLoader]:
        sets = dict(zip(("retain", "forget", "validation"), small_sets, strict=True)) | images
        return {name: make_loader(sets[name], batch_size) for name in ALGORITHMS[function.__name__].reads}

    return make


@pytest.fixture
def whole(small_sets) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """(inputs, targets) of each set as one batch, by name."""
    return {
        name: images.batch(slice(None))
        for name, images in zip(("retain", "forget", "validation"), small_sets, strict=True)
    }


@pytest.fixture
def rates(monkeypatch) -> list[float]:
    """The learning rate of each step that SGD takes from now on."""
    seen, step = [], torch.optim.SGD.step

    def spy(self, *args, **kwargs):
        seen.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.SGD, "step", spy)
    return seen


@pytest.fixture(scope="session")
def make_original(small_sets, make_loader, make_net) -> Callable[[], nn.Module]:
    """make_original(): a copy of one network that knows all of small_sets' retain and forget images."""
    retain, forget, _ = small_sets
    both = Images(
        torch.cat([retain.pixels, forget.pixels]), torch.cat([retain.targets, forget.targets]), [120.0], [70.0]
    )
    net = train(make_net(), make_loader(both), epochs=20, lr=0.1, schedule=cosine(20))
    return lambda: copy.deepcopy(net)
