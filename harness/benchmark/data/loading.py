"""Loads a data set by its name: digits (embedded), one of torchvision's, a .npz file, or a folder of images."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from forget512.harness.benchmark.data.dataset import Dataset
from forget512.harness.benchmark.data.image_folder import read_image_folder
from forget512.harness.benchmark.data.npz import NPZ_KEYS, read_npz
from forget512.harness.errors import UserError, first_line, one_of

TORCHVISION = {  # name: torchvision's class
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "svhn": "SVHN",
    "mnist": "MNIST",
    "fashionmnist": "FashionMNIST",
}
DATASETS = ("digits", "cifar10-mini", *TORCHVISION)
CIFAR10_MINI = (500, 200)  # training and test images of each class, the first in file order


def load_dataset(name: str, data_dir: Path, image_size: int | None = None) -> Dataset:
    """Load a data set by its name, from a path that ends in .npz, or from a folder of images.

    image_size: pixels to which the images of a folder are resized; 32 if None.

    Raises:
        UserError: unknown name, file missing or malformed, or no network to download from.
    """
    if name not in DATASETS and Path(name).is_dir() and not name.endswith(".npz"):
        return Dataset(Path(name).resolve().name, *read_image_folder(Path(name), image_size))
    if image_size is not None:
        raise UserError(f"--image-size {image_size}: only the images of a folder (--dataset DIR) are resized.")
    if name.endswith(".npz"):
        return read_npz(Path(name))
    one_of("--dataset", name, (*DATASETS, "FILE.npz", "DIR"))
    if name == "digits":
        return digits()
    if name == "cifar10":
        return cifar10(data_dir)
    if name == "cifar10-mini":
        return first_of_each_class(cifar10(data_dir), *CIFAR10_MINI)
    return from_torchvision(name, data_dir)


def digits() -> Dataset:
    """Load scikit-learn's 1,797 handwritten digits, 8 × 8, grey levels 0 … 16; a fixed fifth is the test set."""
    from sklearn.datasets import load_digits

    source = load_digits()
    images = source.images[..., None].astype(np.uint8)
    labels = source.target.astype(np.int64)
    # Neighbours in the file come from one writer: shuffle before the cut. RandomState's stream never changes.
    order = np.random.RandomState(0).permutation(len(images))
    test, train = order[:360], order[360:]
    return Dataset("digits", images[train], labels[train], images[test], labels[test])


def cifar10(data_dir: Path) -> Dataset:
    """Load CIFAR-10 from the .npz file in data_dir if there is one, else torchvision's copy (downloaded once)."""
    files = sorted(data_dir.glob("*.npz")) if data_dir.is_dir() else []
    if len(files) > 1:
        raise UserError(
            f"--data-dir {data_dir} holds {len(files)} .npz files "
            f"({', '.join(f.name for f in files[:4])}): keep one, or name it with --dataset FILE.npz."
        )
    if files:
        dataset = read_npz(files[0], "cifar10")
        if dataset.image_shape != (32, 32, 3) or dataset.classes != 10:
            raise UserError(
                f"{files[0]} is not CIFAR-10: images of {dataset.image_shape} in {dataset.classes} classes, "
                "expected (32, 32, 3) in 10. Use --dataset FILE.npz for other data."
            )
        return dataset
    return from_torchvision("cifar10", data_dir, f"torchvision's files or one .npz with keys {', '.join(NPZ_KEYS)}")


def from_torchvision(name: str, data_dir: Path, files: str = "torchvision's files") -> Dataset:
    """Load CIFAR-10, CIFAR-100 (100 classes), SVHN (without its extra images), MNIST or Fashion-MNIST by torchvision.

    files: the files that an error message asks for.

    Raises:
        UserError: the data set is not in data_dir and cannot be downloaded.
    """
    import torchvision

    title = TORCHVISION[name]
    parts: list[dict[str, Any]] = [{"train": True}, {"train": False}]
    if name == "svhn":
        parts = [{"split": "train"}, {"split": "test"}]
    arrays: list[np.ndarray] = []
    for part in parts:
        try:
            source = _open(getattr(torchvision.datasets, title), data_dir, part)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"{title} is not in --data-dir {data_dir} and could not be downloaded "
                f"({type(error).__name__}: {first_line(error)}): put {files} there."
            ) from error
        images = np.asarray(source.data)
        if name == "svhn":
            images = images.transpose(0, 2, 3, 1)  # it has channels first
        elif images.ndim == 3:
            images = images[..., None]
        labels = np.asarray(source.labels if name == "svhn" else source.targets, np.int64)
        arrays += [np.ascontiguousarray(images, np.uint8), labels]
    return Dataset(name, *arrays)


def _open(kind: Callable, data_dir: Path, part: dict[str, Any]) -> Any:
    """Open a part of a torchvision data set, and download it if it is not in data_dir."""
    try:
        return kind(data_dir, download=False, **part)
    except RuntimeError:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
            return kind(data_dir, download=True, **part)


def first_of_each_class(dataset: Dataset, train: int, test: int) -> Dataset:
    """Take the first images of each class in file order."""

    def first(labels: np.ndarray, count: int) -> np.ndarray:
        return np.concatenate([np.flatnonzero(labels == c)[:count] for c in range(dataset.classes)])

    a, b = first(dataset.y_train, train), first(dataset.y_test, test)
    return Dataset(f"{dataset.name}-mini", dataset.x_train[a], dataset.y_train[a], dataset.x_test[b], dataset.y_test[b])
