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
from forget512.algorithms.code_hash import PACKAGE, code_hash, own_imports, parse

FOLDER = Path(__file__).resolve().parent
FILE = FOLDER / "versions.toml"
UNRECORDED = 0  # the version of a module that is not in versions.toml yet; nothing runs it
UNVERSIONED = ("__init__", "catalogue", "code_hash", "record", "versions")  # no run executes them
ENGINES = FOLDER / "engines"  # these change how fast runs are, not what they are: a record's provenance names them


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


def changed(modules: Iterable[str]) -> list[str]:
    """Those of these modules whose code is not the one that is recorded."""
    known = {name: each.code for name, each in recorded().items()}
    return sorted(name for name in set(modules) if known.get(name) != code_hash(files()[name].read_bytes()))


@cache
def recorded() -> dict[str, Recorded]:
    """What versions.toml says, by module."""
    return {name: Recorded(**line) for name, line in tomllib.loads(FILE.read_text("utf-8")).items()}


@cache
def files() -> dict[str, Path]:
    """The files of the modules that have a version, by module."""
    paths = (path for path in sorted(FOLDER.rglob("*.py")) if not path.name.startswith("."))  # an editor's own files
    return {path.stem: path for path in paths if path.stem not in UNVERSIONED and path.parent != ENGINES}


def _with_imports(modules: set[str]) -> dict[str, int]:
    known = recorded()
    return {name: known[name].version if name in known else UNRECORDED for name in sorted(_closure(modules))}


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
    """A plain `import forget512.…` binds the package, from which every module can be reached."""
    found = list(own_imports(parse(source)))
    if any(bound == PACKAGE for _, bound in found):
        return set(files())
    return {module for name, _ in found for module in _modules(name)}


def _modules(name: str) -> Iterable[str]:
    """The modules that an import of this full name may need: all, where it names none of them."""
    _, folder, *rest = name.split(".") if "." in name else (name, "algorithms")
    if folder != "algorithms" or rest[:1] == [ENGINES.name]:
        return []
    if len(rest) == 1 and rest[0] in ALGORITHMS:
        return [ALGORITHMS[rest[0]].module]
    for end in range(len(rest), 0, -1):
        path = FOLDER.joinpath(*rest[:end]).with_suffix(".py")
        if files().get(path.stem) == path:
            return [path.stem]
    return files()
