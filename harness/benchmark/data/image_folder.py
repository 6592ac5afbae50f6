"""Reads a data set from a folder of images, in torchvision's ImageFolder layout."""

from pathlib import Path

import numpy as np

from forget512.harness.errors import UserError, first_line

USUAL_SIZE = 32
LEAST_SIZE = 4
TEST_SHARE = 5  # one image in five of each class, if the folder has no test images of its own

Samples = list[tuple[str, int]]  # (file, class)


def read_image_folder(folder: Path, size: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Read x_train (n, size, size, 3) uint8, y_train (n,) int64, x_test and y_test. size: pixels, 32 if None.

    The folder holds `train/CLASS/…` with `test/CLASS/…` (or `val/CLASS/…`), or `CLASS/…` alone: then a fifth of each
    class, drawn by a fixed seed from the files in order, is the test set. Classes are numbered in the order of their
    folders' names; images come in the order of their paths. Each image becomes RGB, is cropped to the square at its
    centre and resized (bilinear).

    Raises:
        UserError: the layout does not fit, or an image cannot be read.
    """
    size = USUAL_SIZE if size is None else size
    if size < LEAST_SIZE:
        raise UserError(f"--image-size {size}: the smallest size is {LEAST_SIZE} × {LEAST_SIZE} pixels.")
    if (folder / "train").is_dir():
        part = next((name for name in ("test", "val") if (folder / name).is_dir()), None)
        if part is None:
            raise UserError(f"--dataset {folder} has train/ but neither test/ nor val/: add one of them.")
        classes, train = _list(folder / "train")
        others, test = _list(folder / part)
        if classes != others:
            odd = sorted(set(classes) ^ set(others))[0]
            raise UserError(f"--dataset {folder}: class {odd!r} is not in both of train/ and {part}/.")
    else:
        classes, samples = _list(folder)
        train, test = _cut(folder, classes, samples)
    if len(classes) < 2:
        raise UserError(f"--dataset {folder} has one class, {classes[0]!r}: at least two folders of images are needed.")
    return _images(train, size), _labels(train), _images(test, size), _labels(test)


def _list(folder: Path) -> tuple[list[str], Samples]:
    from torchvision.datasets import ImageFolder

    try:
        found = ImageFolder(str(folder))
    except (OSError, ValueError) as error:
        raise UserError(
            f"--dataset {folder} is not a folder of images by class (CLASS/image.png): {first_line(error)}."
        ) from error
    return found.classes, found.samples


def _cut(folder: Path, classes: list[str], samples: Samples) -> tuple[Samples, Samples]:
    random = np.random.RandomState(0)  # its stream never changes
    labels = _labels(samples)
    held = []
    for label, name in enumerate(classes):
        own = np.flatnonzero(labels == label)
        if len(own) < 2:
            raise UserError(
                f"--dataset {folder}: class {name!r} has one image, and training and test set need one each."
            )
        held += random.permutation(own)[: max(1, len(own) // TEST_SHARE)].tolist()
    test = set(held)
    return [s for i, s in enumerate(samples) if i not in test], [s for i, s in enumerate(samples) if i in test]


def _labels(samples: Samples) -> np.ndarray:
    return np.array([label for _, label in samples], np.int64)


def _images(samples: Samples, size: int) -> np.ndarray:
    from PIL import Image, ImageOps

    pixels = np.empty((len(samples), size, size, 3), np.uint8)
    for i, (name, _) in enumerate(samples):
        try:
            with Image.open(name) as image:
                square = ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BILINEAR)
                pixels[i] = np.asarray(square)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # PIL raises each of them
            raise UserError(f"{name} cannot be read as an image: {first_line(error)}.") from error
    return pixels
