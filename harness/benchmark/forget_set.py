"""Chooses the forget set: a random share, given indices, a class, or whole groups."""

from pathlib import Path

import numpy as np

from forget512.harness.benchmark.data.dataset import Dataset
from forget512.harness.benchmark.groups import choose_groups
from forget512.harness.benchmark.options import BenchmarkOptions
from forget512.harness.errors import UserError, first_line


def choose_forget_set(
    data: Dataset, options: BenchmarkOptions, random: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray | None]:
    """Choose the training images to forget, a tenth at random if no option says otherwise.

    Returns:
        Indices (int64, ascending), and the group of each training image, (n,) int64, or None if groups do not matter.

    Raises:
        UserError: two options choose the forget set, or the one given does not fit the data.
    """
    count = len(data.y_train)
    fraction, label, groups = options.forget_fraction, options.forget_class, options.forget_groups
    given = [
        name
        for name, value in (
            ("--forget-fraction", None if groups else fraction),  # with groups, the share that they reach
            ("--forget-indices", options.forget_indices),
            ("--forget-class", label),
            ("--forget-groups", groups),
        )
        if value is not None
    ]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} both choose the forget set: give one of them.")
    if groups is not None:
        return choose_groups(groups, count, fraction, random)
    if options.forget_indices is not None:
        return _read_indices(Path(options.forget_indices), count), None
    if label is not None:
        if not 0 <= label < data.classes:
            raise UserError(f"--forget-class {label}: {data.name} has classes 0 … {data.classes - 1}.")
        return np.flatnonzero(data.y_train == label), None
    fraction = 0.1 if fraction is None else fraction
    size = round(fraction * count) if 0 < fraction < 1 else 0  # NaN is neither
    if not 0 < size < count:
        raise UserError(
            f"--forget-fraction {fraction:g} of {count} training images: give a fraction between 0 and 1 so that "
            "at least one image is forgotten and one retained."
        )
    return np.sort(random.permutation(count)[:size]), None


def _read_indices(path: Path, count: int) -> np.ndarray:
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            values = np.array([int(word) for word in path.read_text().replace(",", " ").split()], np.int64)
    except FileNotFoundError as error:
        raise UserError(f"--forget-indices {path} does not exist.") from error
    except (OSError, ValueError, EOFError, OverflowError) as error:
        raise UserError(
            f"--forget-indices {path} cannot be read: give a .npy file of integers, or a text file of integers "
            f"({first_line(error)})."
        ) from error
    if not isinstance(values, np.ndarray):
        raise UserError(f"--forget-indices {path} is an archive of arrays: give one array (.npy) or a text file.")
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise UserError(
            f"--forget-indices {path} holds {values.dtype} of shape {values.shape}: give one dimension of integers."
        )
    if len(values) == 0:
        raise UserError(f"--forget-indices {path} is empty: at least one training image must be forgotten.")
    outside = values[(values < 0) | (values >= count)]
    if len(outside):
        raise UserError(
            f"--forget-indices {path}: {outside[0]} is out of range, training images are 0 … {count - 1} "
            f"({len(outside)} such indices)."
        )
    unique, times = np.unique(values, return_counts=True)
    if len(unique) < len(values):
        raise UserError(
            f"--forget-indices {path}: {unique[times > 1][0]} occurs more than once "
            f"({len(values) - len(unique)} repetitions)."
        )
    if len(unique) == count:
        raise UserError(f"--forget-indices {path} names all {count} training images: nothing would be retained.")
    return unique.astype(np.int64)
