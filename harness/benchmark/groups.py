"""Chooses forget sets of whole groups (persons, devices, sources): all training images of a group, or none."""

import csv
import os
from pathlib import Path

import numpy as np

from forget512.harness.errors import UserError, first_line

HEADER = ["index", "group"]
SHOWN = 8  # groups listed in an error


def choose_groups(
    text: str, count: int, fraction: float | None, random: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Choose groups to forget: indices (int64, ascending) of their training images, and (count,) int64, the number
    from 0 of each training image's group.

    text: `FILE`, to draw whole groups at random until at least `fraction` of the images (a tenth if None) are
    forgotten, or `FILE:name,name`, to forget these groups.

    Raises:
        UserError: the file does not fit the training images, no such group, or nothing would be retained.
    """
    path, names = Path(text), ""
    if not os.path.isfile(text):  # Path.is_file() raises where many names are longer than a file's may be
        name, _, names = text.partition(":")
        path = Path(name)
    known, groups = np.unique(_read(path, count), return_inverse=True)
    if names:
        if fraction is not None:
            raise UserError(f"--forget-groups {text} and --forget-fraction both choose the groups: give one of them.")
        wanted = {name.strip() for name in names.split(",")}
        for name in sorted(wanted - set(known)):
            some = ", ".join([*known[:SHOWN], *(["…"] if len(known) > SHOWN else [])])
            raise UserError(
                f"--forget-groups {text}: {path} has no group {name!r}; its {len(known)} groups are {some}."
            )
        chosen = np.flatnonzero(np.isin(known, list(wanted)))
    else:
        fraction = 0.1 if fraction is None else fraction
        if not 0 < fraction < 1:
            raise UserError(f"--forget-fraction {fraction:g}: give a fraction between 0 and 1.")
        drawn = random.permutation(len(known))
        reached = np.cumsum(np.bincount(groups)[drawn]) >= fraction * count
        chosen = drawn[: int(np.argmax(reached)) + 1]
    if len(chosen) == len(known):
        raise UserError(
            f"--forget-groups {text}: all {len(known)} groups would be forgotten and nothing retained: "
            "give more groups, or a smaller fraction."
        )
    return np.flatnonzero(np.isin(groups, chosen)), groups


def other_groups(groups: np.ndarray, retain: np.ndarray, size: int, random: np.random.RandomState) -> np.ndarray:
    """Draw whole groups at random from the retained ones; return the indices of their images, about `size`.

    groups: (n,) the number of each image's group. retain: indices.

    Raises:
        UserError: that takes all of the retained groups.
    """
    drawn = random.permutation(np.unique(groups[retain]))
    reached = np.cumsum(np.bincount(groups)[drawn])
    chosen = drawn[: int(np.argmin(np.abs(reached - size))) + 1]
    if len(chosen) == len(drawn):
        raise UserError(
            f"--forget-groups: the {len(drawn)} groups that are retained ({len(retain)} images) are too few for a "
            f"development split, which forgets other whole groups, about {size} images: none of them would be left to "
            "retain. Forget fewer groups."
        )
    return np.flatnonzero(np.isin(groups, chosen))


def _read(path: Path, count: int) -> list[str]:
    """Read the group of each training image."""
    where = f"--forget-groups {path}"
    try:
        with path.open(newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except FileNotFoundError as error:
        raise UserError(f"{where} does not exist: give FILE, or FILE:group,group.") from error
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{where} cannot be read as CSV: {first_line(error)}.") from error
    if not rows or [cell.strip() for cell in rows[0]] != HEADER:
        first = ",".join(rows[0]) if rows else ""
        raise UserError(f"{where} begins with {first!r}: its first line must be index,group.")
    groups: list[str | None] = [None] * count
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != 2 or not row[0].strip().isdecimal() or not row[1].strip():
            raise UserError(f"{where}, line {number}: {','.join(row)!r} is not an index and a group, as in `17,anna`.")
        index, group = int(row[0]), row[1].strip()
        if index >= count:
            raise UserError(f"{where}, line {number}: {index} is out of range, training images are 0 … {count - 1}.")
        if groups[index] is not None:
            raise UserError(f"{where}, line {number}: image {index} already has a group ({groups[index]}).")
        groups[index] = group
    found = [group for group in groups if group is not None]
    if len(found) < count:
        raise UserError(
            f"{where} lacks image {groups.index(None)} ({count - len(found)} of {count} training images): "
            "every training image needs a group."
        )
    return found
