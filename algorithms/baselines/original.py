"""Does not unlearn: the opposite of retraining."""

from torch import nn
from torch.utils.data import DataLoader


def original(net: nn.Module, retain: DataLoader, forget: DataLoader, validation: DataLoader) -> nn.Module:
    """Return the original model unchanged; no set is read."""
    return net
