"""The built-in architectures: ResNets of 8, 9 and 18 layers. Importing this module imports torch."""

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


def convolution(channels: int, width: int) -> nn.Module:
    """A 3 × 3 convolution with batch norm and ReLU."""
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())


class ResNet9(nn.Module):
    """The ResNet of 9 layers with which cifar10-fast (David Page, 2018) trains CIFAR-10 in 24 epochs to 94 %.

    Convolutions of 64, 128, 256 and 512 channels, each with batch norm and ReLU; after all but the first a max-pool
    halves the map; after those of 128 and 512 two more are added to what they read. The largest value of each channel
    goes to the classifier, whose logits are multiplied by 0.125. About 380 million multiply-adds at 32 × 32; images
    have at least 8 pixels a side. Drawn as PyTorch draws. Not verified: that it reaches 94 % here.
    """

    SCALE = 0.125  # of the logits: keeps them small while lr is high

    def __init__(self, classes: int, channels: int):
        super().__init__()
        self.stem = convolution(channels, 64)
        self.layer1 = convolution(64, 128)
        self.residual1 = nn.Sequential(convolution(128, 128), convolution(128, 128))
        self.layer2 = convolution(128, 256)
        self.layer3 = convolution(256, 512)
        self.residual3 = nn.Sequential(convolution(512, 512), convolution(512, 512))
        self.fc = nn.Linear(512, classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.layer1(self.stem(x)), 2)
        x = x + self.residual1(x)
        x = F.max_pool2d(self.layer2(x), 2)
        x = F.max_pool2d(self.layer3(x), 2)
        x = x + self.residual3(x)
        return self.SCALE * self.fc(F.adaptive_max_pool2d(x, 1).flatten(1))


def resnet8(classes: int, channels: int, size: int) -> nn.Module:
    """ResNet8 of 16, 32 and 64 channels."""
    return ResNet8(classes, channels, size, width=16)


def resnet8_thin(classes: int, channels: int, size: int) -> nn.Module:
    """ResNet8 of 8, 16 and 32 channels."""
    return ResNet8(classes, channels, size, width=8)


def resnet9(classes: int, channels: int, size: int) -> nn.Module:
    """ResNet9, for images of at least 8 pixels a side."""
    return ResNet9(classes, channels)


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
