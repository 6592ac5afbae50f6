"""Versions of the modules of algorithms/: what the banks of their methods are named by, instead of their text.

versions.toml has a line a module, written by the command `python -m forget512.algorithms.record`. A module is named by
its file's stem, so that moving a file changes no version.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from forget512.algorithms.catalogue import ALGORITHMS
from forget512.algorithms.code_hash import code_hash, own_imports, parse

FOLDER = Path(__file__).resolve().parent
FILE = FOLDER / "versions.toml"
UNVERSIONED = ("__init__", "catalogue", "code_hash", "record", "versions")  # no run executes them


@dataclass(frozen=True)
class Recorded:
    """A module's line in versions.toml. code: the `code_hash` of its file"""

    version: int
    code: str


def of_sources(sources: Iterable[bytes]) -> dict[str, int]:
    """The version of each module that these files import, directly or through one another, by module.

    Raises:
        SyntaxError: this version of Python cannot parse a file.
    """
    return _with_imports({module for source in sources for module in _imported(source)})


def of_method(method: str) -> dict[str, int]:
    """The version of a method's own module and of each that it imports, directly or through others, by module."""
    return _with_imports({ALGORITHMS[method].module})


def changed(methods: Iterable[str]) -> list[str]:
    """The modules of these methods whose code is not the one that is recorded."""
    used = _closure({ALGORITHMS[method].module for method in methods})
    known = {name: each.code for name, each in recorded().items()}
    return sorted(name for name in used if known.get(name) != code_hash(files()[name].read_bytes()))


@cache
def recorded() -> dict[str, Recorded]:
    """What versions.toml says, by module."""
    return {name: Recorded(**line) for name, line in tomllib.loads(FILE.read_text("utf-8")).items()}


@cache
def files() -> dict[str, Path]:
    """The files of the modules that have a version, by module."""
    return {path.stem: path for path in sorted(FOLDER.rglob("*.py")) if path.stem not in UNVERSIONED}


def _with_imports(modules: set[str]) -> dict[str, int]:
    return {name: recorded()[name].version for name in sorted(_closure(modules))}


def _closure(modules: set[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imported_by(name)
    return found


@cache
def _imported_by(module: str) -> set[str]:
    return _imported(files()[module].read_bytes())


def _imported(source: bytes) -> set[str]:
    return {module for name, _ in own_imports(parse(source)) for module in _modules(name)}


def _modules(name: str) -> Iterable[str]:
    """The modules that an import of this full name may need: all, where it names none of them."""
    _, folder, *rest = name.split(".") if "." in name else (name, "algorithms")
    if folder != "algorithms":
        return []
    if len(rest) == 1 and rest[0] in ALGORITHMS:
        return [ALGORITHMS[rest[0]].module]
    for end in range(len(rest), 0, -1):
        path = FOLDER.joinpath(*rest[:end]).with_suffix(".py")
        if files().get(path.stem) == path:
            return [path.stem]
    return files()
