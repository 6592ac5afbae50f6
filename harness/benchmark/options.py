"""The options of a benchmark with their help texts, for the command line, make_benchmark and evaluate."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def option(default: Any, help: str, **click: Any) -> Any:
    """Make a field of an option dataclass with its help text. click: further settings of its option: metavar, type."""
    return field(default=default, metadata={"help": help, **click})


@dataclass(frozen=True)
class BenchmarkOptions:
    """Options that select a benchmark. None: the data set's default."""

    dataset: str = option(
        "digits",
        "data set: digits, cifar10, cifar10-mini, cifar100, svhn, mnist, fashionmnist, FILE.npz, or a "
        "folder of images (DIR/train/CLASS/… with DIR/test/CLASS/… or DIR/val/CLASS/…; or DIR/CLASS/…, of which a "
        "fifth becomes the test set)",
    )
    image_size: int | None = option(
        None, "side in pixels to which a folder's images are resized, cropped to a square [default: 32]"
    )
    model: str | None = option(
        None,
        "network: resnet8-thin, resnet8, resnet9, resnet18, resnet18-cifar, or FILE.py:FUNCTION, a function of the "
        "number of classes and (channels, height, width) that returns a torch.nn.Module [default: by data set]",
    )
    epochs: int | None = option(None, "training epochs of the retraining recipe [default: by data set]")
    recipe: str | Path | None = option(
        None, "TOML file with fields of the retraining recipe: epochs, optimizer, lr, schedule, …"
    )
    precision: str = option("float32", "training precision: float32 or bfloat16")
    data_dir: str | Path = option(
        "data", "folder of torchvision's data sets, downloaded if missing (for CIFAR-10, it may hold one .npz file)"
    )
    forget_fraction: float | None = option(
        None, "share of the training images to forget, drawn at random [default: 0.1]"
    )
    forget_indices: str | Path | None = option(None, "file with the indices of the images to forget (.npy or text)")
    forget_class: int | None = option(None, "class to forget, with all its training images")
    forget_groups: str | None = option(
        None,
        "CSV file `index,group` of all training images: forget the groups named here, or whole groups drawn at "
        "random until --forget-fraction is reached",
        metavar="FILE[:GROUP,…]",
    )
    split_seed: int = option(0, "seed of the random split")
