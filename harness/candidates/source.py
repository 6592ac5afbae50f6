"""What an algorithm's code consists of, so that a bank's key changes where the code does and nowhere else."""

import ast
import inspect
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from forget512.algorithms import ALGORITHMS
from forget512.harness.hashing import sha256
from forget512.harness.isolation.environment import CODE

PACKAGE = CODE / "algorithms"
ENCODINGS = ("utf-8", "latin-1")  # in which a candidate's text is kept


def code(path: Path) -> str:
    """A module of ours without comments and docstrings: rewording them makes no new banks."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0] = ast.Pass()
    return ast.unparse(tree)


def source_text(method: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    """An algorithm's code to be read by people: a candidate's files as they are, and what it consists of of ours.

    {"files": [[name, encoding, text], …], "algorithms": [text, …]}; nothing imports or runs it from where it is kept.
    """
    ours = imported(files.values()) if files else built_in_files(method) if method in ALGORITHMS else []
    return {
        "files": [[name, *_decoded(data)] for name, data in files.items()],
        "algorithms": [code(path) for path in ours],
    }


def source_hash(text: dict[str, Any]) -> str:
    """The `source` of the algorithm whose code this is."""
    files = [[name, sha256(content.encode(encoding))] for name, encoding, content in text["files"]]
    return sha256(files + text["algorithms"])


def _decoded(data: bytes) -> tuple[str, str]:
    """Encoding and text, from which the bytes come back."""
    try:
        return "utf-8", data.decode()
    except UnicodeDecodeError:
        return "latin-1", data.decode("latin-1")


@cache
def built_in_files(method: str) -> tuple[Path, ...]:
    """The file that a method of ours stands in, then those of ours that it imports, in the order of their names."""
    own = Path(inspect.getfile(ALGORITHMS[method]))
    return own, *sorted(_closure([own]) - {own})


def imported(sources: Iterable[bytes]) -> list[Path]:
    """The files of algorithms/ that sources import, directly or through one another."""
    return sorted(_closure(path for source in sources for path in _imports(source)))


def _closure(paths: Iterable[Path]) -> set[Path]:
    found: set[Path] = set()
    waiting = list(paths)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imports(path.read_bytes())
    return found


def _imports(source: bytes) -> Iterator[Path]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and not node.level:
            of_all = node.module == "forget512.algorithms"
            wanted = [f"{node.module}.{n.name}" for n in node.names] if of_all else [node.module or ""]
        elif isinstance(node, ast.Import):
            wanted = [name.name for name in node.names]
        else:
            continue
        for module in wanted:
            package, _, name = f"{module}.".partition("forget512.algorithms.")
            if not package and module.startswith("forget512.algorithms"):
                yield from _files(name.rstrip("."))


def _files(name: str) -> Iterator[Path]:
    """A name in the package: a method, a module, or anything else (then all of it may be meant)."""
    if name in ALGORITHMS:
        yield Path(inspect.getfile(ALGORITHMS[name]))
    elif (path := PACKAGE / f"{name.replace('.', '/')}.py").exists():
        yield path
    else:
        yield from sorted(PACKAGE.rglob("*.py"))
