"""The built-in architectures: ResNets of 8 and 18 layers. Importing this module imports torch."""

import torch.nn.functional as F
from torch import Tensor, nn


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


def resnet8(classes: int, channels: int, size: int) -> nn.Module:
    """ResNet8 of 16, 32 and 64 channels."""
    return ResNet8(classes, channels, size, width=16)


def resnet8_thin(classes: int, channels: int, size: int) -> nn.Module:
    """ResNet8 of 8, 16 and 32 channels."""
    return ResNet8(classes, channels, size, width=8)


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
