"""Imports a user's file; finds the files that it imports, its hyper-parameters, and the line of an error."""

import ast
import importlib.util
import inspect
import json
import linecache
import os
import sys
import sysconfig
import traceback
import types
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from forget512.harness.hashing import canonical_json
from forget512.harness.isolation.environment import CODE, ROOT

ENTRY = "unlearning"
LOADERS = 4  # net, retain, forget, validation
CELL = "# %% code cell "  # and the cell's number: the line before each cell of a notebook's source


def import_file(path: Path, source: bytes | None = None) -> types.ModuleType:
    """Import a candidate's file as a module. source replaces its text; tracebacks name path."""
    name = f"candidate_{path.stem}" if path.stem in sys.modules else path.stem
    spec = importlib.util.spec_from_file_location(name, path, loader=SourceFileLoader(name, str(path)))
    assert spec
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    for file, text in _parts(path, path.read_bytes() if source is None else source):
        exec(compile(text, file, "exec"), module.__dict__)
    return module


def import_files(folder: str, files: dict[str, bytes], copies: Path) -> types.ModuleType:
    """Import the first of a user's files in the version of the command's start.

    The others are written to the folder `copies`, which comes first on the path, so the user may go on editing.
    """
    first, *others = files
    for name in others:
        (copies / name).parent.mkdir(parents=True, exist_ok=True)
        (copies / name).write_bytes(files[name])
    sys.path.insert(0, str(copies))
    return import_file(Path(folder) / first, files[first])


def _parts(path: Path, source: bytes) -> Iterator[tuple[str, bytes | str]]:
    """Compile a file as a whole, a notebook by cell, so that tracebacks name the lines that the user sees."""
    if path.suffix != ".ipynb":
        yield str(path), source
        return
    for part in f"\n{source.decode()}".split(f"\n{CELL}")[1:]:
        number, _, text = part.partition("\n")
        file = f"{path}, code cell {number}"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)  # for tracebacks
        yield file, text


def describe_error(error: BaseException, *folders: str) -> str:
    """Describe an error with its innermost line in the user's folders: 'KeyError: 7 (my_idea.py, line 7)'."""
    lines = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(folders) and not any(Path(frame.filename).is_relative_to(d) for d in _not_own())
    ]
    text = "; ".join(str(error).strip().splitlines()[:1])
    what = type(error).__name__ + (f": {text}" if text else "")
    if isinstance(error, SyntaxError) and error.filename and error.filename.startswith(folders):
        return f"{type(error).__name__}: {error.msg} ({Path(error.filename).name}, line {error.lineno})"
    return what + (f" ({Path(lines[-1].filename).name}, line {lines[-1].lineno})" if lines else "")


def own_files(path: Path, source: bytes, before: set[str]) -> list[str]:
    """Return the user's files that path imports, relative to its folder; path is not among them.

    These are the files of the modules imported since `before`, and those that all of these import when they are run.

    Raises:
        SyntaxError, ValueError: one of the latter is not valid Python.
    """
    loaded = [getattr(sys.modules[name], "__file__", None) for name in sorted(set(sys.modules) - before)]
    # Some modules of torch name files that do not exist.
    paths = [
        Path(file).resolve()
        for file in loaded
        if file and file.endswith(".py") and os.path.isabs(file) and os.path.isfile(file)
    ]
    not_own = _not_own()

    def is_own(p: Path) -> bool:
        elsewhere = any(p.is_relative_to(d) for d in not_own) or "site-packages" in p.parts
        return p.is_relative_to(path.parent) and p != path and not elsewhere

    found = {p for p in paths if is_own(p)}
    waiting = [(path, source), *((p, p.read_bytes()) for p in found)]
    while waiting:
        importing, text = waiting.pop()
        new = {p for p in _imports(importing, text, path.parent) if is_own(p)} - found
        found |= new
        waiting += [(p, p.read_bytes()) for p in new]
    return sorted(str(p.relative_to(path.parent)) for p in found)


def _imports(importing: Path, text: bytes, folder: Path) -> Iterator[Path]:
    """Return the files below the folder that a text in it imports, at its beginning or later.

    If a module from another folder is loaded under a name, the name means that module.
    """
    for node in ast.walk(ast.parse(text, str(importing))):
        start = folder
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = f"{node.module}." if node.module else ""
            wanted = [base + alias.name for alias in node.names]
            if node.level:
                start = importing.parents[min(node.level, len(importing.parents)) - 1]
        else:
            continue
        for parts in (name.split(".") for name in wanted):
            loaded = None if start != folder else getattr(sys.modules.get(parts[0]), "__file__", None)
            if (loaded and not Path(loaded).resolve().is_relative_to(folder)) or parts[0] in sys.builtin_module_names:
                continue
            stem = start
            for part in parts:
                stem /= part
                package, module = stem / "__init__.py", stem.with_name(f"{part}.py")
                if package.is_file():
                    yield package.resolve()
                elif module.is_file():
                    yield module.resolve()
                    break


def _not_own() -> list[Path]:
    """Return folders that may lie below a user's: forget512's, the interpreter's, and those of packages."""
    ours = [ROOT / "forget512", *(CODE / name for name in ("algorithms", "harness", "scoring"))]
    return [*ours, Path(sysconfig.get_path("stdlib")).resolve(), Path(sys.prefix).resolve(), Path(sys.prefix)]


def defaults(function: Callable) -> dict[str, Any]:
    """Return the keyword defaults that are plain values."""
    found = {}
    for position, parameter in enumerate(inspect.signature(function).parameters.values()):
        if position < LOADERS and parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue  # net or a loader
        try:
            if parameter.default is not inspect.Parameter.empty:
                found[parameter.name] = json.loads(canonical_json(parameter.default))
        except (TypeError, ValueError):
            continue  # an object keeps its value: --set cannot change it
    return found


def fractional(function: Callable) -> list[str]:
    """Return the parameters that are annotated as float, whatever their default is."""
    return [p.name for p in inspect.signature(function).parameters.values() if p.annotation in (float, "float")]


def changed(function: Callable, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that differ from the function's defaults; a tuple that is unchanged stays a tuple."""
    own = defaults(function)
    return {name: value for name, value in values.items() if name not in own or own[name] != value}
