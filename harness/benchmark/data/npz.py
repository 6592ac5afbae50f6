"""Reads a data set from one .npz file."""

from pathlib import Path

import numpy as np

from forget512.harness.benchmark.data.dataset import Dataset
from forget512.harness.errors import UserError, first_line

NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")  # as Keras's data sets name them


def read_npz(path: Path, name: str | None = None) -> Dataset:
    """Read one .npz with keys x_train, y_train, x_test, y_test.

    Images (n, H, W) or (n, H, W, channels) with whole numbers 0 … 255, labels (n,) or (n, 1).

    Raises:
        UserError: names the key and what is wrong with it.
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
                "the numbers must be equal."
            )
    if images["train"].shape[1:] != images["test"].shape[1:]:
        raise UserError(
            f"{path}: x_train holds images of shape {images['train'].shape[1:]} and x_test "
            f"of {images['test'].shape[1:]}: the shapes must be equal."
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
        raise UserError(
            f"{where} holds images of {array.shape[1]} × {array.shape[2]} pixels: the smallest size is 4 × 4."
        )
    if array.min() < 0 or array.max() > 255:
        raise UserError(f"{where} holds values {array.min()} … {array.max()}: image values must be 0 … 255.")
    return np.ascontiguousarray(array, np.uint8)


def _labels(array: np.ndarray, where: str) -> np.ndarray:
    array = _whole_numbers(array, where)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or len(array) == 0:
        raise UserError(f"{where} has shape {array.shape}: labels must be (n,), not empty.")
    if array.min() < 0:
        raise UserError(f"{where} holds label {array.min()}: labels must be 0 … C-1.")
    if array.max() >= 2**31:
        raise UserError(f"{where} holds label {array.max()}: it is not a valid class number.")
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
