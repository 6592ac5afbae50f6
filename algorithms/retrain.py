"""Training from scratch: what every unlearning algorithm is measured against."""

from torch import nn
from torch.utils.data import DataLoader

from algorithms.training import cosine, flip_and_crop, train


def retrain(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    epochs: int = 30,
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    warmup: float = 0.0,
    padding: int = 4,
) -> nn.Module:
    """Train a fresh network on the retain set; the forget set is never read.

    The harness hands it a newly initialised net instead of the original model, and the benchmark's recipe as its
    hyper-parameters. SGD with Nesterov momentum, linear warm-up over the first `warmup` epochs, then a cosine to 0.
    padding: crop padding in pixels; images are mirrored and shifted if it is above 0, else left as they are.
    """
    decay = cosine(epochs)
    return train(
        net,
        retain,
        epochs=epochs,
        lr=lr,
        momentum=momentum,
        nesterov=True,
        weight_decay=weight_decay,
        schedule=lambda progress: min((progress + 0.01) / warmup, 1.0) * decay(progress) if warmup else decay(progress),
        augment=(lambda inputs: flip_and_crop(inputs, padding)) if padding else None,
    )
