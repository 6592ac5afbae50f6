"""The rules of the tree: who may import whom, no circles, small folders, and tests that mirror the code.

Imports are read from the syntax trees: lazy ones and those for type checkers count as well.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = ("forget512", "harness", "algorithms", "scoring")
MOST_ENTRIES = 14  # of a folder, without __init__.py

LOWEST = "harness.errors harness.hashing"
FOR_BENCHMARKS = f"{LOWEST} harness.isolation harness.candidates algorithms"
FOR_RUNS = f"{FOR_BENCHMARKS} harness.benchmark harness.store"
FOR_NUMBERS = f"{FOR_RUNS} scoring"
FOR_EXCHANGE = f"{FOR_NUMBERS} harness.worker harness.scheduling harness.results"
FOR_VIEWS = f"{FOR_EXCHANGE} harness.exchange harness.workflows"
RULES = {  # a part of the tree: the other parts that it may import, and the packages from elsewhere
    "algorithms": ("", "llvmlite numba numpy torch torchvision"),
    "scoring": ("", "numba numpy scipy"),
    "harness.errors": ("", ""),
    "harness.hashing": ("", ""),
    "harness.isolation": (LOWEST, "psutil"),
    "harness.candidates": (f"{LOWEST} harness.isolation algorithms", "nbformat"),
    "harness.benchmark": (FOR_BENCHMARKS, "PIL numpy sklearn torch torchvision"),
    "harness.store": (f"{FOR_BENCHMARKS} harness.benchmark scoring", "gcsfs numpy s3fs safetensors"),
    "harness.worker": (FOR_RUNS, "numpy psutil safetensors torch torchvision"),
    "harness.scheduling": (FOR_RUNS, "ray torch"),
    "harness.results": (FOR_NUMBERS, "numpy scipy"),
    "harness.exchange": (FOR_EXCHANGE, "model numpy safetensors torch"),  # model.py: what a split's folder contains
    "harness.workflows": (f"{FOR_EXCHANGE} harness.exchange", "numpy safetensors torch"),
    "harness.views": (FOR_VIEWS, "PIL jinja2 matplotlib numpy plotly rich"),
    "harness.api": (f"{FOR_VIEWS} harness.views", "pandas"),
    "harness.cli": (f"{FOR_VIEWS} harness.views harness.api", "click cloup"),
    "forget512": ("harness.api harness.cli", ""),  # its __init__.py and __main__.py
}
LIGHT = ("harness.store", "harness.results", "harness.views", "harness.cli")  # importing these loads none of HEAVY
HEAVY = ("ray", "torch", "torchvision")


@dataclass(frozen=True)
class Import:
    """One imported name. target: the module of the tree, or what the statement says.

    on_load: whether the statement is executed when its module is imported.
    """

    where: str  # file:line
    module: str
    target: str
    on_load: bool


def python_files(root: Path) -> dict[str, str]:
    """{path: name of the module} of every Python file that the rules cover."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[0] in (*CODE, "tests", "deploy", "run_eval"):
            name = ".".join(["forget512", *parts] if parts[0] in CODE[1:] else parts)
            found["/".join(path.relative_to(root).parts)] = name.removesuffix(".__init__")
    return found


def read_imports(root: Path) -> list[Import]:
    files, found = python_files(root), []
    modules = set(files.values())
    for file, module in files.items():
        package = module.split(".") if file.endswith("__init__.py") else module.split(".")[:-1]
        for node, on_load in _statements(ast.parse((root / file).read_bytes(), file)):
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                above = package[: len(package) + 1 - node.level] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                names = [f"{base}.{name}" if f"{base}.{name}" in modules else base for name in names]
            found += [Import(f"{file}:{node.lineno}", module, name, on_load) for name in dict.fromkeys(names)]
    return found


def _statements(node: ast.AST, on_load: bool = True) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        later = later or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, on_load
        yield from _statements(child, on_load and not later)


def part_of(module: str) -> str:
    """The part of the tree that a module belongs to, or the package that is imported from elsewhere."""
    first, *names = module.split(".")
    if first != "forget512" or names in ([], ["__main__"]):
        return first
    return ".".join(names[:2] if names[0] == "harness" else names[:1])


# --- Each check yields a line for everything that breaks its rule -------------------------------------------------


def check_parts(root: Path) -> Iterator[str]:
    """Each part of the tree imports what RULES allows. Tests and scripts import anything."""
    for each in read_imports(root):
        part, target = part_of(each.module), part_of(each.target)
        if target in CODE[1:] and not each.target.startswith("forget512."):
            yield f"{each.where}: {target} is not a package of its own. Import forget512.{each.target}."
        elif each.module.startswith("forget512") and target != part and target not in sys.stdlib_module_names:
            allowed = " ".join(RULES.get(part, ())).split()
            if target not in allowed:
                yield f"{each.where}: {part} may not import {each.target}. Allowed: {', '.join(allowed) or 'nothing'}."


def check_circles(root: Path) -> Iterator[str]:
    """No module imports itself through others, not even lazily."""
    where = {(each.module, each.target): each.where for each in read_imports(root)}
    graph: dict[str, set[str]] = {}
    for module, target in where:
        graph.setdefault(module, set()).add(target)
    while True:
        try:
            return TopologicalSorter(graph).prepare()
        except CycleError as error:
            edges = list(pairwise(reversed(error.args[1])))
            yield "a circle: " + ", ".join(f"{where[edge]} imports {edge[1]}" for edge in edges)
            for module, target in edges:
                graph[module].discard(target)


def check_light(root: Path) -> Iterator[str]:
    """Importing a part that reading commands need loads neither torch nor Ray, directly or through other modules."""
    loads: dict[str, list[Import]] = {}
    for each in read_imports(root):
        if each.on_load:
            loads.setdefault(each.module, []).append(each)
    for module in python_files(root).values():
        waiting: list[tuple[str, list[Import]]] = [(module, [])] if part_of(module) in LIGHT else []
        seen = set()
        for name, chain in waiting:
            for each in loads.get(name, []):
                target = each.target.split(".")
                if target[0] in HEAVY:
                    yield " → ".join(step.where for step in [*chain, each]) + f": importing {module} loads {target[0]}."
                    waiting.clear()
                    break
                packages = {".".join(target[:n]) for n in range(1, len(target) + 1)}  # these are imported as well
                waiting += [(package, [*chain, each]) for package in packages - seen]
                seen |= packages


def check_folders(root: Path) -> Iterator[str]:
    """No folder has more than about a dozen entries (but methods), and a sub-package's __init__.py imports nothing."""
    for folder in sorted({(root / file).parent for file in python_files(root)} - {root}):
        count = sum(path.name not in ("__init__.py", "__pycache__") for path in folder.iterdir())
        if count > MOST_ENTRIES and not (folder / "catalogue.toml").exists():
            yield f"{folder.relative_to(root)}: {count} entries, at most {MOST_ENTRIES} are allowed. Add a sub-folder."
    for each in read_imports(root):
        if "/__init__.py" in each.where and each.module.count(".") > 1:
            yield f"{each.where}: the __init__.py of a sub-package may not import anything."


def check_packages(root: Path) -> Iterator[str]:
    """pyproject.toml lists exactly the folders with an __init__.py, and each folder of code has one."""
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    files = {file: module for file, module in python_files(root).items() if file.split("/")[0] in CODE}
    packages = {module for file, module in files.items() if file.endswith("/__init__.py")}
    yield from (f"pyproject.toml does not list the package {name}." for name in sorted(packages - set(listed)))
    yield from (f"pyproject.toml lists {name}, which has no __init__.py." for name in sorted(set(listed) - packages))
    for folder in sorted({file.rpartition("/")[0] for file in files}):
        if f"{folder}/__init__.py" not in files:
            yield f"{folder}/ has no __init__.py."


def check_mirror(root: Path) -> Iterator[str]:
    """The path of a test file names what it tests: tests/scoring/test_score.py tests scoring/score.py."""
    for path in sorted(path for name in CODE for path in root.glob(f"tests/{name}/**/test_*.py")):
        tested = root / path.relative_to(root / "tests").with_name(path.name.removeprefix("test_"))
        if not tested.exists() and not tested.with_suffix("").is_dir():
            yield f"{path.relative_to(root)}: there is no {tested.relative_to(root)} that it could test."


def check_documents(root: Path) -> Iterator[str]:
    """A document names a test file by its path from the root, and after :: a test of this file, perhaps cut by a …."""
    for document in sorted([*root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("deploy/*.md")]):
        for path, test, cut in re.findall(r"([\w/]*\btest_\w+\.py)(?:::(\w+)(…?))?", document.read_text()):
            if not (root / path).is_file():
                yield f"{document.relative_to(root)}: there is no {path}. Name the path from the root: tests/…"
            elif f"def {test}{'' if cut or not test else '('}" not in (root / path).read_text():
                yield f"{document.relative_to(root)}: {path} has no test {test}."


CHECKS = [check_parts, check_circles, check_light, check_folders, check_packages, check_mirror, check_documents]


@pytest.mark.parametrize("check", CHECKS)
def test_the_tree_follows_the_rule(check):
    found = list(check(ROOT))
    assert not found, "\n".join([check.__doc__, *found])


# --- A planted violation of each kind is found --------------------------------------------------------------------

STORE, VIEWS = "harness/store/layout.py", "harness/views/board.py"
NETWORKS, SUB = "harness/benchmark/networks.py", "harness/benchmark/__init__.py"
ALLOWED = {
    "forget512/__init__.py": "if TYPE_CHECKING:\n from forget512.harness.api import evaluate",
    "harness/api.py": "from forget512.harness.views import board",
    NETWORKS: "def build():\n import torch",
    STORE: "import json\nimport numpy as np",
    "harness/store/bank.py": "from forget512.harness.store.layout import name",
    VIEWS: "from forget512.harness.benchmark import networks\nfrom ..store import layout, bank\nimport rich.table",
    "tests/harness/store/test_bank.py": "import torch\nfrom forget512.harness.store.bank import Bank",
    **{f"scoring/metrics/a{n}.py": "" for n in range(MOST_ENTRIES)},
}
PLANTED = [  # a message that begins with a colon follows the file's name
    (check_parts, VIEWS, "import rich, torch", ":1: harness.views may not import torch. Allowed: harness.errors, "),
    (check_parts, VIEWS, "def f():\n import ray.util", ":2: harness.views may not import ray.util. Allowed: "),
    (check_parts, STORE, "if TYPE_CHECKING:\n from ..views import board", ":2: harness.store may not import "),
    (check_parts, "scoring/a.py", "import pandas as p", ":1: scoring may not import pandas. Allowed: numba, numpy, "),
    (check_parts, "algorithms/a.py", "import forget512.scoring", ":1: algorithms may not import forget512.scoring. "),
    (check_parts, "harness/errors.py", "from .api import evaluate", ":1: harness.errors may not import forget512."),
    (check_parts, "tests/a.py", "from scoring import score", ":1: scoring is not a package of its own. Import "),
    (check_parts, "deploy/a.py", "import harness.store", ":1: harness is not a package of its own. Import forget512."),
    (check_circles, STORE, "def f():\n from .bank import Bank", ":2 imports forget512.harness.store.bank"),
    (check_circles, "scoring/a.py", "import forget512.scoring.a", ":1 imports forget512.scoring.a"),
    (check_light, NETWORKS, "import torch", ":1: importing forget512.harness.views.board loads torch."),
    (check_light, SUB, "import torch", ":1: importing forget512.harness.views.board loads torch."),
    (check_folders, SUB, "import math", ":1: the __init__.py of a sub-package may not import anything."),
    (check_folders, "scoring/metrics/more.py", "", "scoring/metrics: 15 entries, at most 14 are allowed."),
    (check_packages, "harness/new/__init__.py", "", "pyproject.toml does not list the package forget512.harness.new."),
    (check_packages, "harness/new/a.py", "", "harness/new/ has no __init__.py."),
    (check_mirror, "tests/harness/store/test_a.py", "", ": there is no harness/store/a.py"),
    (check_documents, "docs/a.md", "`store/test_bank.py`", ": there is no store/test_bank.py. Name the path from the "),
    (check_documents, "a.md", "tests/harness/store/test_bank.py::test_a", ": tests/harness/store/test_bank.py has no "),
]


@pytest.mark.parametrize(("check", "file", "text", "message"), PLANTED)
def test_a_planted_violation_is_found_and_named(tmp_path, check, file, text, message):
    folders = {path.rpartition("/")[0] for path in ALLOWED if path.startswith(CODE[1:])} | {"harness", "scoring"}
    packages = ["forget512", *(f"forget512.{folder.replace('/', '.')}" for folder in folders)]
    tree = {f"{folder}/__init__.py": "" for folder in folders} | ALLOWED
    tree["pyproject.toml"] = f"[tool.setuptools]\npackages = {packages}"
    for name, content in tree.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert not [line for each in CHECKS for line in each(tmp_path)]
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    assert (file + message if message.startswith(":") else message) in "\n".join(check(tmp_path))
