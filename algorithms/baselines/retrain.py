"""Training from scratch: the reference for every unlearning algorithm."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn
from torch.utils.data import DataLoader

from forget512.algorithms.training import cosine, flip_and_crop, linear, stepped, train

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": partial(torch.optim.SGD, nesterov=True),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
SCHEDULES: dict[str, Callable[..., Callable[[float], float]]] = {  # factor of lr after some epochs
    "cosine": lambda epochs, milestones, factor: cosine(epochs),
    "linear": lambda epochs, milestones, factor: linear(epochs),
    "constant": lambda epochs, milestones, factor: lambda progress: 1.0,
    "steps": lambda epochs, milestones, factor: stepped(milestones, factor),
}


def retrain(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    epochs: int = 30,
    optimizer: str = "sgd",
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    schedule: str = "cosine",
    milestones: Sequence[float] = (),
    factor: float = 0.1,
    warmup: float = 0.0,
    padding: int = 4,
    mirror: float | None = None,
) -> nn.Module:
    """Train a fresh network on the retain set; the forget set is never read.

    The harness passes it a newly initialised net instead of the original model, and the benchmark's recipe as
    hyper-parameters.

    optimizer: sgd (with Nesterov's momentum) | adam | adamw, both with PyTorch's own betas and without momentum
    schedule: of lr, step by step: cosine or linear to 0 over the epochs | constant | steps (times factor at each of
              milestones, in epochs)
    warmup: epochs over which lr rises linearly, whatever the schedule
    padding: images are shifted by up to this many pixels. mirror: the share of images that are mirrored; None: half of
             them if padding is above 0, else none

    Raises:
        ValueError: an unknown optimizer or schedule.
    """
    for name, value, known in (("optimizer", optimizer, OPTIMIZERS), ("schedule", schedule, SCHEDULES)):
        if value not in known:
            raise ValueError(f"{name}={value!r}: choose one of {', '.join(known)}")
    if mirror is None:
        mirror = usual_mirror(padding)
    own = {"momentum": momentum} if optimizer == "sgd" else {}
    decay = SCHEDULES[schedule](epochs, milestones, factor)
    return train(
        net,
        retain,
        epochs=epochs,
        lr=lr,
        optimizer=partial(OPTIMIZERS[optimizer], lr=lr, weight_decay=weight_decay, fused=True, **own),
        schedule=lambda progress: min((progress + 0.01) / warmup, 1.0) * decay(progress) if warmup else decay(progress),
        augment=partial(flip_and_crop, padding=padding, mirror=mirror) if padding or mirror else None,
        replayable=True,
    )


def usual_mirror(padding: int) -> float:
    """Return the default share of mirrored images: half if images are shifted, else none."""
    return 0.5 if padding else 0.0
