"""Reads users' files and notebooks, each in a process of its own."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from forget512.algorithms import ALGORITHMS
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.inspection import REPORT
from forget512.harness.candidates.notebook import extract
from forget512.harness.candidates.source import hash_of_files
from forget512.harness.errors import UserError, one_of
from forget512.harness.isolation.environment import environment, python

NOTEBOOK = ".ipynb"
BATCH_FORMATS = ("tuples", "kaggle")  # of the batches that a candidate gets: the starting kit's, the competition's


def load_candidates(paths: Sequence[Path], batch_format: str | None = None) -> list[Algorithm]:
    """Read users' files, each in a process of its own.

    batch_format: see `find_algorithms`.

    Raises:
        UserError: a file is missing, fails to import, or has no usable `unlearning`.
    """
    found = []
    for each in read_candidates(paths, batch_format):
        if isinstance(each, UserError):
            raise each
        found.append(each)
    return found


def read_candidates(paths: Sequence[Path], batch_format: str | None = None) -> list[Algorithm | UserError]:
    """Load files like `load_candidates`, with a UserError in the place of each file that cannot be scored."""
    if batch_format is not None:
        one_of("--batch-format", batch_format, BATCH_FORMATS)
    started = [_start(path) for path in paths]
    found: list[Algorithm | UserError] = []
    for path, each in zip(paths, started, strict=True):
        try:
            if isinstance(each, UserError):
                raise each
            process, text = each
            found.append(_candidate(path, text, batch_format, *process.communicate(text)))
        except UserError as error:
            found.append(error)
    return found


def _start(path: Path) -> tuple[subprocess.Popen[str], str | None] | UserError:
    """Start a process that reads a file; return it and its input, the source of a notebook."""
    try:
        if not path.is_file():
            raise UserError(f"{path} does not exist: name a built-in algorithm ({', '.join(ALGORITHMS)}) or a file.")
        text = extract(path) if path.suffix == NOTEBOOK else None
    except UserError as error:
        return error
    process = subprocess.Popen(
        python("forget512.harness.candidates.inspection", path.resolve()),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env={**environment(), "PYTHONBREAKPOINT": "0"},  # there is no terminal here: `try` is for debugging
        stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
    )
    return process, text


def _candidate(path: Path, text: str | None, batch_format: str | None, report: str, stderr: str) -> Algorithm:
    lines = report.splitlines()
    if not lines or not lines[-1].startswith(REPORT):
        last = (stderr.strip() or "no output").splitlines()[-1]
        raise UserError(f"{path} ended the process that imported it: {last}")
    answer = json.loads(lines[-1].removeprefix(REPORT))
    if "error" in answer:
        raise UserError(f"{path}: {answer['error']}")
    first, *others = answer["files"]
    folder = path.resolve().parent
    files = {first: (folder / first).read_bytes() if text is None else text.encode()}
    files |= {name: (folder / name).read_bytes() for name in others}
    try:
        source = hash_of_files(files)
    except SyntaxError as error:  # it was edited since it was imported
        raise UserError(f"{path} cannot be read as Python: {error.msg}.") from error
    name = f"{path.stem}@{source[:8]}"
    batch_format = batch_format or ("tuples" if text is None else "kaggle")
    return Algorithm(name, name, answer["defaults"], source, files, str(folder), batch_format, answer["fractional"])
