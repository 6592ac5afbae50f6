"""Unlearns one seed. This side knows the training part of the data and nothing else."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler

from forget512.algorithms.engines.choice import choosing
from forget512.algorithms.training import Images, train
from forget512.harness.benchmark import networks
from forget512.harness.benchmark.benchmark import Examples, TrainingPart
from forget512.harness.store.runs import EAGER
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


class Unlearned(NamedTuple):
    """What a run gives. state: the network's, on the CPU. seconds: wall time of the call.

    engine: what carried out its training steps, "eager" if it has none by `train()`; several are joined by "+".
    """

    state: State
    seconds: float
    engine: str


class Unlearner:
    """The training part, resident on one device for all runs. engine: "auto" or "eager", for training steps."""

    def __init__(self, training: TrainingPart, device: torch.device, images_on: torch.device, engine: str = "auto"):
        self.training, self.device, self.engine = training, device, engine
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
        engine: str | None = None,
    ) -> Unlearned:
        """Call function under its seed, from the original model (a fresh network where that is None).

        batch_format: of what its loaders give when they are iterated: tuples, or Kaggle's dicts. engine: for this run;
        None: the Unlearner's.
        """
        seeds.apply()
        net = fresh_network(self.training, self.device)
        if original is not None:
            net.load_state_dict(load(original))
        size = self.training.recipe.batch_size
        sets = kaggle_images(self.images) if batch_format == "kaggle" else self.images
        loaders = [make_loader(images, size, name, seeds) for name, images in sets.items()]
        start = time.perf_counter()
        with self.precision(), choosing(engine or self.engine) as used:
            result = function(net, *loaders, **hyper_parameters)
        if result is None:
            result = net  # changed in place
        if not isinstance(result, nn.Module):
            raise NotANetwork(f"it returned {type(result).__name__}, not a network (torch.nn.Module)")
        state = portable_state(result)  # waits for the device
        return Unlearned(state, time.perf_counter() - start, "+".join(sorted(used)) or EAGER)

    def warm_up(self) -> None:
        """Train two steps with each engine: loading and compiling at a first step must not count in a run's time."""
        for engine in {EAGER, self.engine}:
            loader = make_loader(self.images["retain"], self.training.recipe.batch_size, "retain", Seeds("warm-up", 0))
            with torch.random.fork_rng(), self.precision(), choosing(engine):
                train(fresh_network(self.training, self.device), loader, epochs=2 / len(loader), lr=0.01)

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
        with self.precision(), choosing(self.engine):
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
