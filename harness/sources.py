"""What an algorithm's code consists of, so that a bank's key changes where the code does and nowhere else."""

import ast
import inspect
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from algorithms import ALGORITHMS
from harness.candidate_file import OURS

PACKAGE = OURS / "algorithms"


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
            wanted = (
                [node.module or ""] if node.module != "algorithms" else [f"algorithms.{n.name}" for n in node.names]
            )
        elif isinstance(node, ast.Import):
            wanted = [name.name for name in node.names]
        else:
            continue
        for module in wanted:
            package, _, name = module.partition(".")
            if package == "algorithms":
                yield from _files(name)


def _files(name: str) -> Iterator[Path]:
    """A name in the package: a method, a module, or anything else (then all of it may be meant)."""
    if name in ALGORITHMS:
        yield Path(inspect.getfile(ALGORITHMS[name]))
    elif (PACKAGE / f"{name}.py").exists():
        yield PACKAGE / f"{name}.py"
    else:
        yield from sorted(PACKAGE.glob("*.py"))
