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
    everything = [name for name in ALGORITHMS if name != RETRAIN]
    names = [each for name in names for each in (everything if name == "all" else [name])]
    read = iter(read_candidates([Path(name) for name in names if _is_file(name)], batch_format))
    found = [next(read) if _is_file(name) else built_in(name, dataset) for name in names]
    usable = [each for each in found if isinstance(each, Algorithm)]
    refused = [str(each) for each in found if isinstance(each, UserError)]
    if refused and not any(algorithm.files for algorithm in usable):
        raise UserError("; ".join(refused))
    return with_settings(usable, settings), refused


def _is_file(name: str) -> bool:
    return name.endswith((".py", NOTEBOOK))
