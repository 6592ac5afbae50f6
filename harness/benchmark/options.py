"""The options of a benchmark: the command line's, make_benchmark's and evaluate's, each with its help text."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class BenchmarkOptions:
    """What chooses a benchmark. None: the data set's usual value."""

    dataset: str = field(
        default="digits",
        metadata={
            "help": "data set: digits, cifar10, cifar10-mini, cifar100, svhn, mnist, fashionmnist, FILE.npz, or a "
            "folder of images (DIR/train/CLASS/… with DIR/test/CLASS/… or DIR/val/CLASS/…; or DIR/CLASS/…, of which a "
            "fifth becomes the test set)"
        },
    )
    image_size: int | None = field(
        default=None,
        metadata={"help": "side in pixels of the squares to which a folder's images are cropped [default: 32]"},
    )
    model: str | None = field(
        default=None,
        metadata={
            "help": "network: resnet8-thin, resnet8, resnet18, resnet18-cifar, or FILE.py:FUNCTION, a function of the "
            "number of classes and (channels, height, width) that returns a torch.nn.Module [default: by data set]"
        },
    )
    epochs: int | None = field(
        default=None, metadata={"help": "training epochs of the retraining recipe [default: by data set]"}
    )
    recipe: str | Path | None = field(
        default=None,
        metadata={"help": "TOML file with fields of the retraining recipe: epochs, optimizer, lr, schedule, …"},
    )
    precision: str = field(default="float32", metadata={"help": "training precision: float32 or bfloat16"})
    data_dir: str | Path = field(
        default="data",
        metadata={"help": "folder of torchvision's data sets, downloaded if missing (CIFAR-10: may hold an .npz)"},
    )
    forget_fraction: float | None = field(
        default=None, metadata={"help": "share of the training images to forget, drawn at random [default: 0.1]"}
    )
    forget_indices: str | Path | None = field(
        default=None, metadata={"help": "file with the indices of the images to forget (.npy or text)"}
    )
    forget_class: int | None = field(default=None, metadata={"help": "class whose training images are all forgotten"})
    forget_groups: str | None = field(
        default=None,
        metadata={
            "metavar": "FILE[:GROUP,…]",
            "help": "CSV file `index,group` of all training images: forget the groups named here, or whole groups "
            "drawn at random until --forget-fraction is reached",
        },
    )
    split_seed: int = field(default=0, metadata={"help": "seed of the random split"})
