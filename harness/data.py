"""Data sets as uint8 arrays: digits (embedded), those that torchvision reads, and .npz files."""

import contextlib
import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import UserError, first_line, one_of
from harness.image_folder import read_image_folder

TORCHVISION = {"cifar100": "CIFAR100", "svhn": "SVHN", "mnist": "MNIST", "fashionmnist": "FashionMNIST"}  # its classes
DATASETS = ("digits", "cifar10", "cifar10-mini", *TORCHVISION)
CIFAR10_MINI = (500, 200)  # training and test images of each class, the first in file order
NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")  # as Keras's data sets name them


@dataclass(frozen=True)
class Dataset:
    """Images and labels, as they stand in the source: not normalised, not shuffled.

    x_train (n, H, W, channels) uint8, y_train (n,) int64 in 0 … classes-1; x_test and y_test likewise.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @property
    def classes(self) -> int:
        return int(self.y_train.max()) + 1

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.x_train.shape[1:]

    @cached_property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel over the training images, in units of 0 … 255."""
        n = len(self.x_train)
        levels = np.stack(
            [np.bincount(self.x_train[..., c].ravel(), minlength=256) for c in range(self.image_shape[2])]
        )  # exact, and no float copy of the images
        values = np.arange(256)
        count = n * self.image_shape[0] * self.image_shape[1]
        mean = levels @ values / count
        variance = levels @ values**2 / count - mean**2
        return tuple(mean.tolist()), tuple(np.sqrt(np.maximum(variance, 1e-6)).tolist())

    @cached_property
    def sha256(self) -> str:
        """Digest of the four arrays, shapes included."""
        digest = hashlib.sha256()
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            digest.update(repr((array.dtype.str, array.shape)).encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def load_dataset(name: str, data_dir: Path, image_size: int | None = None) -> Dataset:
    """Load a data set by its name, from a path that ends in .npz, or from a folder of images.

    image_size: that a folder's images are resized to; 32 if None.

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
    if name in TORCHVISION:
        return from_torchvision(name, data_dir)
    dataset = cifar10(data_dir)
    return first_of_each_class(dataset, *CIFAR10_MINI) if name == "cifar10-mini" else dataset


def digits() -> Dataset:
    """scikit-learn's 1,797 handwritten digits, 8 × 8, grey levels 0 … 16; a fixed fifth is the test set."""
    from sklearn.datasets import load_digits

    source = load_digits()
    images = source.images[..., None].astype(np.uint8)
    labels = source.target.astype(np.int64)
    # Neighbours in the file come from one writer: shuffle before the cut. RandomState's stream never changes.
    order = np.random.RandomState(0).permutation(len(images))
    test, train = order[:360], order[360:]
    return Dataset("digits", images[train], labels[train], images[test], labels[test])


def cifar10(data_dir: Path) -> Dataset:
    """CIFAR-10 from the one .npz in data_dir if there is one, else torchvision's copy (downloaded once)."""
    files = sorted(data_dir.glob("*.npz")) if data_dir.is_dir() else []
    if len(files) > 1:
        raise UserError(
            f"--data-dir {data_dir} holds {len(files)} .npz files "
            f"({', '.join(f.name for f in files[:4])}): leave one, or name it with --dataset FILE.npz."
        )
    if files:
        dataset = read_npz(files[0], "cifar10")
        if dataset.image_shape != (32, 32, 3) or dataset.classes != 10:
            raise UserError(
                f"{files[0]} is not CIFAR-10: images of {dataset.image_shape} in {dataset.classes} classes, "
                "expected (32, 32, 3) in 10. Use --dataset FILE.npz for other data."
            )
        return dataset
    from torchvision.datasets import CIFAR10

    instead = f"torchvision's files or one .npz with keys {', '.join(NPZ_KEYS)}"
    train, test = (_open(CIFAR10, "CIFAR-10", data_dir, instead, train=part) for part in (True, False))
    return Dataset(
        "cifar10", train.data, np.asarray(train.targets, np.int64), test.data, np.asarray(test.targets, np.int64)
    )


def from_torchvision(name: str, data_dir: Path) -> Dataset:
    """CIFAR-100 (100 classes), SVHN (without its extra images), MNIST or Fashion-MNIST, as torchvision keeps them.

    Raises:
        UserError: not in data_dir, and not to be downloaded.
    """
    import torchvision

    kind = getattr(torchvision.datasets, TORCHVISION[name])
    parts: list[dict[str, Any]] = [{"train": True}, {"train": False}]
    if name == "svhn":
        parts = [{"split": "train"}, {"split": "test"}]
    arrays: list[np.ndarray] = []
    for part in parts:
        source = _open(kind, TORCHVISION[name], data_dir, "torchvision's files", **part)
        images = np.asarray(source.data)
        if name == "svhn":
            images = images.transpose(0, 2, 3, 1)  # it has channels first
        elif images.ndim == 3:
            images = images[..., None]
        labels = np.asarray(source.labels if name == "svhn" else source.targets, np.int64)
        arrays += [np.ascontiguousarray(images, np.uint8), labels]
    return Dataset(name, *arrays)


def _open(kind: Callable, title: str, data_dir: Path, instead: str, **part: Any) -> Any:
    """A part of a torchvision data set; downloaded where it is not in data_dir."""
    try:
        try:
            return kind(data_dir, download=False, **part)
        except RuntimeError:
            with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
                return kind(data_dir, download=True, **part)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{title} is not in --data-dir {data_dir} and could not be downloaded "
            f"({type(error).__name__}: {first_line(error)}): put {instead} there."
        ) from error


def first_of_each_class(dataset: Dataset, train: int, test: int) -> Dataset:
    """The first images of each class in file order."""

    def first(labels: np.ndarray, count: int) -> np.ndarray:
        return np.concatenate([np.flatnonzero(labels == c)[:count] for c in range(dataset.classes)])

    a, b = first(dataset.y_train, train), first(dataset.y_test, test)
    return Dataset(f"{dataset.name}-mini", dataset.x_train[a], dataset.y_train[a], dataset.x_test[b], dataset.y_test[b])


def read_npz(path: Path, name: str | None = None) -> Dataset:
    """Read one .npz with keys x_train, y_train, x_test, y_test.

    Images (n, H, W) or (n, H, W, channels) with whole numbers 0 … 255, labels (n,) or (n, 1).

    Raises:
        UserError: what is wrong with which key.
    """
    arrays, reading = {}, str(path)
    try:
        with np.load(path, allow_pickle=False) as source:
            missing = [key for key in NPZ_KEYS if key not in source]
            if missing:
                raise UserError(
                    f"{path} lacks {', '.join(missing)}: it must hold {', '.join(NPZ_KEYS)} "
                    f"(it has {', '.join(source) or 'nothing'})."
                )
            for key in NPZ_KEYS:
                reading = f"{path}: {key}"
                arrays[key] = source[key]
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: --dataset takes a name or an existing .npz file.") from error
    except Exception as error:  # numpy, zipfile and zlib each have their own types for a damaged file
        raise UserError(f"{reading} cannot be read as a .npz file: {first_line(error)}.") from error
    images = {part: _images(arrays[f"x_{part}"], f"{path}: x_{part}") for part in ("train", "test")}
    labels = {part: _labels(arrays[f"y_{part}"], f"{path}: y_{part}") for part in ("train", "test")}
    for part in ("train", "test"):
        if len(images[part]) != len(labels[part]):
            raise UserError(
                f"{path}: x_{part} has {len(images[part])} examples and y_{part} {len(labels[part])}: "
                "they must be equally many."
            )
    if images["train"].shape[1:] != images["test"].shape[1:]:
        raise UserError(
            f"{path}: x_train holds images of shape {images['train'].shape[1:]} and x_test "
            f"of {images['test'].shape[1:]}: they must be the same."
        )
    present = np.unique(labels["train"])
    classes = int(present[-1]) + 1
    if len(present) != classes or classes < 2:
        raise UserError(
            f"{path}: y_train holds {len(present)} different labels up to {classes - 1}: "
            "labels must be 0 … C-1, each present, and C at least 2."
        )
    if labels["test"].max() >= classes:
        raise UserError(
            f"{path}: y_test holds label {labels['test'].max()}, but y_train has classes 0 … {classes - 1}."
        )
    return Dataset(name or path.stem, images["train"], labels["train"], images["test"], labels["test"])


def _images(array: np.ndarray, where: str) -> np.ndarray:
    array = _whole_numbers(array, where)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or min(array.shape) == 0:
        raise UserError(f"{where} has shape {array.shape}: images must be (n, H, W) or (n, H, W, channels), not empty.")
    if array.shape[1] < 4 or array.shape[2] < 4:
        raise UserError(f"{where} holds images of {array.shape[1]} × {array.shape[2]} pixels: 4 × 4 is the least.")
    if array.min() < 0 or array.max() > 255:
        raise UserError(f"{where} holds values {array.min()} … {array.max()}: images are 0 … 255.")
    return np.ascontiguousarray(array, np.uint8)


def _labels(array: np.ndarray, where: str) -> np.ndarray:
    array = _whole_numbers(array, where)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or len(array) == 0:
        raise UserError(f"{where} has shape {array.shape}: labels must be (n,), not empty.")
    if array.min() < 0:
        raise UserError(f"{where} holds label {array.min()}: labels are 0 … C-1.")
    if array.max() >= 2**31:
        raise UserError(f"{where} holds label {array.max()}: that is no class number.")
    return array.astype(np.int64)


def _whole_numbers(array: np.ndarray, where: str) -> np.ndarray:
    if array.dtype.kind == "f":
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            raise UserError(
                f"{where} holds {len(bad)} values that are not finite, the first at {tuple(bad[0].tolist())}."
            )
        if np.any(array != np.floor(array)):
            raise UserError(
                f"{where} holds fractions ({array.dtype}): give whole numbers (images 0 … 255), not scaled ones."
            )
    elif array.dtype.kind not in "iu":
        raise UserError(f"{where} is of type {array.dtype}: it must hold numbers.")
    return array
