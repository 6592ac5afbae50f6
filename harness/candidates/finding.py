"""Finds algorithms by the names on a command line: built-ins, presets, users' files and notebooks."""

from collections.abc import Sequence
from pathlib import Path

from forget512.algorithms import ALGORITHMS
from forget512.harness.candidates.algorithm import RETRAIN, Algorithm
from forget512.harness.candidates.built_in import built_in
from forget512.harness.candidates.files import NOTEBOOK, read_candidates
from forget512.harness.candidates.settings import with_settings
from forget512.harness.errors import UserError


def find_algorithms(
    names: Sequence[str], settings: Sequence[str], dataset: str, batch_format: str | None = None
) -> list[Algorithm]:
    """Find algorithms by name: a built-in, `all`, or a file (.py, .ipynb); then apply the settings.

    batch_format: for all files; None: kaggle for notebooks, tuples for other files.

    Raises:
        UserError: a name, a file or a setting is invalid.
    """
    found, refused = find_usable(names, settings, dataset, batch_format)
    if refused:
        raise UserError("; ".join(refused))
    return found


def find_usable(
    names: Sequence[str], settings: Sequence[str], dataset: str, batch_format: str | None = None
) -> tuple[list[Algorithm], list[str]]:
    """Find algorithms like `find_algorithms`; also return a line for each file that cannot be scored, with the reason.

    Raises:
        UserError: any other error, or none of the files can be scored.
    """
    usable, refused = split_refused(find_each(with_all(names), dataset, batch_format))
    return with_settings(usable, settings), refused


def with_all(names: Sequence[str]) -> list[str]:
    """The names, with every built-in algorithm in the place of `all`."""
    everything = [name for name in ALGORITHMS if name != RETRAIN]
    return [each for name in names for each in (everything if name == "all" else [name])]


def find_each(names: Sequence[str], dataset: str, batch_format: str | None) -> list[Algorithm | UserError]:
    """One algorithm for each name, or what is wrong with its file.

    Raises:
        UserError: an unknown name or batch format.
    """
    read = iter(read_candidates([Path(name) for name in names if _is_file(name)], batch_format))
    return [next(read) if _is_file(name) else built_in(name, dataset) for name in names]


def split_refused(found: Sequence[Algorithm | UserError]) -> tuple[list[Algorithm], list[str]]:
    """The algorithms, and a line for each file that cannot be scored.

    Raises:
        UserError: there were files, and none can be scored.
    """
    usable = [each for each in found if isinstance(each, Algorithm)]
    refused = [str(each) for each in found if isinstance(each, UserError)]
    if refused and not any(algorithm.files for algorithm in usable):
        raise UserError("; ".join(refused))
    return usable, refused


def _is_file(name: str) -> bool:
    return name.endswith((".py", NOTEBOOK))
