"""Unlearns one seed. This side knows the training part of the data and nothing else."""

import time
from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler

from forget512.algorithms.training import Images
from forget512.harness.benchmark import networks
from forget512.harness.benchmark.benchmark import Examples, TrainingPart
from forget512.harness.worker.kaggle_batches import kaggle_images
from forget512.harness.worker.seeds import Seeds

State = dict[str, Tensor]


def set_up_torch() -> None:
    """What every process that runs or examines a network sets first: one thread, and repeatable arithmetic."""
    torch.set_num_threads(1)
    # Deterministic kernels where cuDNN has them; its search for the fastest would choose anew in each process.
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    torch.backends.cudnn.allow_tf32 = False  # on by default for convolutions, and float32 is what the benchmark says


class NotANetwork(Exception):
    """An algorithm returned something else than a network."""


class Unlearner:
    """The training part, resident on one device for all runs."""

    def __init__(self, training: TrainingPart, device: torch.device, images_on: torch.device):
        self.training, self.device = training, device
        self.images = {
            name: make_images(examples, training, images_on)
            for name, examples in (
                ("retain", training.retain),
                ("forget", training.forget),
                ("validation", training.validation),
            )
        }

    def unlearn(
        self,
        function: Callable,
        hyper_parameters: dict[str, Any],
        seeds: Seeds,
        original: bytes | None,
        batch_format: str = "tuples",
    ) -> tuple[State, float]:
        """Call function under its seed, from the original model (a fresh network where that is None).

        batch_format: of what its loaders give when they are iterated: tuples, or Kaggle's dicts.
        Returns the network's state on the CPU and the wall seconds of the call.
        """
        seeds.apply()
        net = fresh_network(self.training, self.device)
        if original is not None:
            net.load_state_dict(load(original))
        size = self.training.recipe.batch_size
        sets = kaggle_images(self.images) if batch_format == "kaggle" else self.images
        loaders = [make_loader(images, size, name, seeds) for name, images in sets.items()]
        start = time.perf_counter()
        with self.precision():
            result = function(net, *loaders, **hyper_parameters)
        if result is None:
            result = net  # changed in place
        if not isinstance(result, nn.Module):
            raise NotANetwork(f"it returned {type(result).__name__}, not a network (torch.nn.Module)")
        state = portable_state(result)  # waits for the device
        return state, time.perf_counter() - start

    def train_original(self, function: Callable, hyper_parameters: dict[str, Any], seeds: Seeds) -> State:
        """The same function as a retraining's, on retain and forget set together."""
        retain, forget = self.images["retain"], self.images["forget"]
        everything = Images(
            torch.cat([retain.pixels, forget.pixels]),
            torch.cat([retain.targets, forget.targets]),
            self.training.mean,
            self.training.std,
        )
        seeds.apply()
        net = fresh_network(self.training, self.device)
        loader = make_loader(everything, self.training.recipe.batch_size, "retain", seeds)
        with self.precision():
            return portable_state(function(net, loader, None, None, **hyper_parameters))

    def precision(self) -> torch.autocast:
        """Training runs under the benchmark's precision; examining is always float32."""
        # One context spans the whole run: cached casts of the weights would outlive the optimizer's steps.
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.training.precision == "bfloat16", cache_enabled=False
        )


def fresh_network(training: TrainingPart, device: torch.device) -> nn.Module:
    """The architecture, newly initialised from torch's global generator; its tensors are contiguous."""
    return networks.build(training.model, training.classes, training.image_shape).to(device)


def make_images(examples: Examples, training: TrainingPart, device: torch.device) -> Images:
    """A copy of the examples on the device."""
    return Images(
        torch.tensor(examples.x, device=device), torch.tensor(examples.y, device=device), training.mean, training.std
    )


def make_loader(images: Images, batch_size: int, name: str, seeds: Seeds) -> DataLoader:
    """A plain DataLoader; retain and forget are shuffled by the run's seed, validation stands as it is.

    The order has a generator of its own: a DataLoader draws from the one that it is given each time it is iterated, and
    its batch_sampler alone would then give another order.
    """
    order = torch.Generator().manual_seed(seeds.of(name))
    sampler = SequentialSampler(images) if name == "validation" else RandomSampler(images, generator=order)
    workers = torch.Generator().manual_seed(seeds.of(f"{name} workers"))
    return DataLoader(images, batch_size, sampler=sampler, generator=workers)


def portable_state(net: nn.Module) -> State:
    """The state_dict as contiguous tensors of their own on the CPU."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in net.state_dict().items()}
