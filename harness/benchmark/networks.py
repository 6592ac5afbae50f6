"""Architectures by name."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from forget512.harness.benchmark.network_file import NetworkFile, read_network
from forget512.harness.errors import one_of


class Block(nn.Module):
    """ResNet's basic block: two 3 × 3 convolutions and a shortcut (1 × 1 where the shape changes)."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet8(nn.Module):
    """A stem and three basic blocks of 1, 2 and 4 times `width` channels: 8 layers with weights.

    The stem has stride 1 for images below 16 pixels (digits), else 2 (about 3 million multiply-adds at 32 × 32 with
    width 16).
    """

    def __init__(self, classes: int, channels: int, size: int, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride=1 if size < 16 else 2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = Block(width, width, 1)
        self.layer2 = Block(width, 2 * width, 2)
        self.layer3 = Block(2 * width, 4 * width, 2)
        self.fc = nn.Linear(4 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # as torchvision's ResNets
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


def resnet18(classes: int, channels: int, size: int) -> nn.Module:
    """torchvision's ResNet-18, as in the competition: a 7 × 7 stem with stride 2 and a max-pool."""
    import torchvision

    net = torchvision.models.resnet18(num_classes=classes)
    if channels != 3:
        net.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    return net


def resnet18_cifar(classes: int, channels: int, size: int) -> nn.Module:
    """ResNet-18 for small images: a 3 × 3 stem with stride 1, no max-pool."""
    net = resnet18(classes, channels, size)
    net.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    net.maxpool = nn.Identity()
    return net


MODELS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "resnet8": lambda classes, channels, size: ResNet8(classes, channels, size, width=16),
    "resnet8-thin": lambda classes, channels, size: ResNet8(classes, channels, size, width=8),
    "resnet18": resnet18,
    "resnet18-cifar": resnet18_cifar,
}


Model = str | NetworkFile


def find(text: str) -> Model:
    """An architecture of ours by its name, or a user's, FILE.py:FUNCTION.

    Raises:
        UserError: no such name, file or function.
    """
    if text in MODELS:
        return text
    return read_network(text) if ".py" in text else one_of("--model", text, (*MODELS, "FILE.py:FUNCTION"))


def build(model: Model, classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """A freshly initialised network on the CPU, drawn from torch's global generator.

    image_shape: (height, width, channels). Logits are (b, classes).

    Raises:
        UserError: unknown name.
    """
    if isinstance(model, NetworkFile):
        return model.build(classes, image_shape)
    height, width, channels = image_shape
    return MODELS[one_of("--model", model, MODELS)](classes, channels, min(height, width))


def identity(model: Model) -> dict[str, str]:
    """What tells one architecture from another, beside the shapes of its parameters."""
    source = {"source_sha256": model.source} if isinstance(model, NetworkFile) else {}
    return {"name": str(model), **source}
