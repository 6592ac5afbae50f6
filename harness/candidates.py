"""Algorithms by name, and candidates from users' files."""

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from algorithms import ALGORITHMS, METHODS, NAMED, SMALL
from harness import sources
from harness.candidate_file import REPORT, defaults, environment, fractional
from harness.errors import UserError, one_of
from harness.identity import canonical_json, sha256
from harness.notebook import extract

NOTEBOOK = ".ipynb"
BATCH_FORMATS = ("tuples", "kaggle")  # of the loaders that a candidate gets: the starting kit's, the competition's


@dataclass(frozen=True)
class Algorithm:
    """Turns the original model into an unlearned one.

    name: as a table shows it: 'finetune', 'finetune:starting-kit' (a preset), or 'my_idea@1a2b3c4d' for a candidate
    method: what its banks are kept under: the function's name, or name@hash of its source for a candidate
    hyper_parameters: what its function is called with, as JSON-able values
    source: SHA-256 of the code that it consists of
    files: a candidate's own files, by path relative to its folder, the one with `unlearning` first; empty: built in
    batch_format: of the loaders that a candidate gets: tuples or kaggle
    fractional: hyper-parameters that its function annotates as float, though the default may be a whole number
    """

    name: str
    method: str
    hyper_parameters: dict[str, Any]
    source: str
    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    folder: str = ""
    batch_format: str = "tuples"
    fractional: Sequence[str] = ()

    @property
    def owner(self) -> str:
        """What --set calls it: its name without preset or hash."""
        return self.method.rpartition("@")[0] or self.method

    @property
    def unusual(self) -> dict[str, str]:
        """What joins its banks' identity only where it is not the default."""
        return {} if self.batch_format == "tuples" else {"batch_format": self.batch_format}

    @property
    def from_scratch(self) -> bool:
        """Whether it starts from a fresh network instead of the original model."""
        return self.method == "retrain"

    @property
    def bank(self) -> str:
        """What tells its banks from others' on one benchmark, as a hash."""
        return sha256([self.method, self.hyper_parameters, self.source, *self.unusual.items()])

    @property
    def function(self) -> Callable:
        """A built-in's function."""
        return ALGORITHMS[self.method]


def find_algorithms(
    names: Sequence[str], settings: Sequence[str], dataset: str, batch_format: str | None = None
) -> list[Algorithm]:
    """Algorithms as a command names them: built in, `all`, or a file (.py, .ipynb); then the settings.

    batch_format: of all files' loaders; None: kaggle for notebooks, tuples for the others.

    Raises:
        UserError: what does not fit, and where.
    """
    found, refused = find_usable(names, settings, dataset, batch_format)
    if refused:
        raise UserError("; ".join(refused))
    return found


def find_usable(
    names: Sequence[str], settings: Sequence[str], dataset: str, batch_format: str | None = None
) -> tuple[list[Algorithm], list[str]]:
    """The same, but a file that cannot be scored does not stop other files: a line for each says why.

    Raises:
        UserError: any other mistake, or none of the files can be scored.
    """
    names = [each for name in names for each in (_all() if name == "all" else [name])]
    read = iter(read_candidates([Path(name) for name in names if _is_file(name)], batch_format))
    found = [next(read) if _is_file(name) else built_in(name, dataset) for name in names]
    usable = [each for each in found if isinstance(each, Algorithm)]
    refused = [str(each) for each in found if isinstance(each, UserError)]
    if refused and not any(algorithm.files for algorithm in usable):
        raise UserError("; ".join(refused))
    return with_settings(usable, settings), refused


def _is_file(name: str) -> bool:
    return name.endswith((".py", NOTEBOOK))


def _all() -> list[str]:
    return [method.name for method in METHODS if method.name != "retrain"]


def built_in(name: str, dataset: str, settings: dict[str, Any] | None = None) -> Algorithm:
    """An algorithm of ours by name, with its preset `small` for this data set (if there is one), then the settings.

    'name:preset' takes that preset instead.

    Raises:
        UserError: unknown name or preset.
    """
    method, _, preset = name.partition(":")
    function = ALGORITHMS[one_of("algorithm", method, (*ALGORITHMS, "all", "FILE.py", "FILE.ipynb"))]
    known = presets(method, dataset)
    if preset:
        one_of(f"preset of {method} on {dataset}", preset, known)
    chosen = known[preset] if preset else known.get("small", {})
    values = {**defaults(function), **chosen, **(settings or {})}
    source = sha256([sources.code(path) for path in sources.built_in_files(method)])
    return Algorithm(name, method, json.loads(canonical_json(values)), source, fractional=fractional(function))


def published(method: str, dataset: str) -> Algorithm:
    """An algorithm of ours with its published settings."""
    return built_in(f"{method}:{next(iter(presets(method, dataset)))}", dataset)


def presets(method: str, dataset: str) -> dict[str, dict[str, Any]]:
    """An algorithm's presets on a data set, by name, the published one first: what differs from its defaults."""
    first = next(each.published for each in METHODS if each.name == method)
    named = {name: values for (owner, name), values in NAMED.items() if owner == method}
    small = {"small": SMALL[method, dataset]} if (method, dataset) in SMALL else {}
    return {first: {}, **named, **small}


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
    """The same, with what is wrong in the place of each file that cannot be scored."""
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
    """A process that reads a file, and what it is to be told instead of the file's own text."""
    try:
        if not path.is_file():
            raise UserError(f"{path} does not exist: name a built-in algorithm ({', '.join(ALGORITHMS)}) or a file.")
        text = extract(path) if path.suffix == NOTEBOOK else None
    except UserError as error:
        return error
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "harness.candidate_file", str(path.resolve())],
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
    ours = [sources.code(each) for each in sources.imported(files.values())]
    source = sha256([[name, sha256(data)] for name, data in files.items()] + ours)
    name = f"{path.stem}@{source[:8]}"
    batch_format = batch_format or ("tuples" if text is None else "kaggle")
    return Algorithm(name, name, answer["defaults"], source, files, str(folder), batch_format, answer["fractional"])


def with_settings(algorithms: Sequence[Algorithm], settings: Sequence[str]) -> list[Algorithm]:
    """Apply `name=value` (to every algorithm that has it) and `algorithm.name=value` (to that one).

    A value is read as a Python literal, else as text, and must be of its default's kind; where the function says
    float, a default of 3 may be set to 2.5, too.

    Raises:
        UserError: malformed, of another kind, or no algorithm has such a hyper-parameter.
    """
    changed = [dict(algorithm.hyper_parameters) for algorithm in algorithms]
    for setting in settings:
        key, equals, text = setting.partition("=")
        owner, dot, name = key.rpartition(".")
        if not equals or not name:
            raise UserError(f"--set {setting!r}: write name=value or algorithm.name=value.")
        chosen = [i for i, a in enumerate(algorithms) if not dot or owner in (a.name, a.owner)]
        holders = [i for i in chosen if name in changed[i]]
        if not holders:
            known = sorted({n for i in chosen for n in changed[i]})
            if not known:
                raise UserError(
                    f"--set {setting}: "
                    + (
                        f"no algorithm {owner!r} in this command."
                        if not chosen
                        else "these algorithms have no hyper-parameters."
                    )
                )
            one_of(f"--set {setting}: hyper-parameter", name, known)
        for i in holders:
            default = algorithms[i].hyper_parameters[name]
            changed[i][name] = _value(setting, text, default, name in algorithms[i].fractional)
    return [replace(a, hyper_parameters=values) for a, values in zip(algorithms, changed, strict=True)]


def _value(setting: str, text: str, default: Any, fractional: bool) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        value = text
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if fractional and type(default) is int and type(value) is float:
        default = value = int(value) if value.is_integer() else value  # 3 and 3.0 make no two banks
    if isinstance(default, list) and not isinstance(value, list):
        value = [value]
    if default is not None and value is not None and type(value) is not type(default):
        raise UserError(
            f"--set {setting}: {value!r} is a {type(value).__name__}, "
            f"but the default {default!r} is a {type(default).__name__}."
        )
    if isinstance(default, list) and isinstance(value, list):
        value = _elements(setting, value, default)
    try:
        canonical_json(value)
    except (TypeError, ValueError) as error:
        raise UserError(f"--set {setting}: {value!r} is no plain value (number, text, truth, list).") from error
    return value


def _elements(setting: str, values: list[Any], default: list[Any]) -> list[Any]:
    """A list's elements in the kind of its default's, so that 1 and 1.0 make no two banks; any kind if it has several.

    Numbers of both kinds are floats. Where the default is of whole numbers, a list with a fraction stays as it is: a
    factor may be 1 or 0.5, and a method that counts says so itself.
    """
    kinds = {type(element) for element in default}
    kind = float if kinds == {int, float} else kinds.pop() if len(kinds) == 1 else None
    fractions = [value for value in values if isinstance(value, float) and not value.is_integer()]
    if kind is None or (kind is int and fractions and all(type(value) in (int, float) for value in values)):
        return values
    found = []
    for value in values:
        if isinstance(value, tuple):
            value = list(value)
        whole = type(value) is int or (isinstance(value, float) and value.is_integer())
        if whole and kind in (int, float):
            value = kind(value)
        if type(value) is not kind:
            raise UserError(
                f"--set {setting}: {value!r} is a {type(value).__name__}, "
                f"but the default {default!r} holds {kind.__name__}s."
            )
        found.append(value)
    return found
