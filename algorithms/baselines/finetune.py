"""Fine-tuning on the retain set: the baseline that every unlearning paper starts from."""

from torch import nn
from torch.utils.data import DataLoader

from forget512.algorithms.training import cosine, train


def finetune(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    epochs: int = 1,
    lr: float = 0.001,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Continue to train the original model with cross-entropy on the retain set; the forget set is never read.

    The defaults are those of the competition's scoring program: one epoch of SGD, cosine from 0.001.
    """
    return train(
        net, retain, epochs=epochs, lr=lr, momentum=momentum, weight_decay=weight_decay, schedule=cosine(epochs)
    )
