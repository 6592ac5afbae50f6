"""Versions of modules: which of them a method or a file uses, and that the recorded code is the code."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from forget512.algorithms import ALGORITHMS, versions
from forget512.algorithms.code_hash import FOLDERS, code_hash
from forget512.algorithms.record import record


def test_the_recorded_code_is_the_code():
    hashes = {name: code_hash(path.read_bytes()) for name, path in versions.files().items()}
    _, lines = record(versions.recorded(), hashes)
    assert not lines, (
        f"algorithms/versions.toml does not fit the code ({' '.join(lines)}). Where results stay the same, run `python "
        "-m forget512.algorithms.record`; where they change, add --bump and the modules' names. Commit versions.toml."
    )


def test_a_change_of_code_is_noticed_and_a_change_of_wording_is_not():
    name, path = "finetune", versions.files()["finetune"]
    source, recorded = path.read_bytes(), versions.recorded()
    hashes = {name: each.code for name, each in recorded.items()}
    reworded = source.replace(b'"""Train the', b'"""Go on training the') + b"\n# a comment\n"
    assert record(recorded, {**hashes, name: code_hash(reworded)})[1] == []
    edited = source.replace(b"epochs: int = 1", b"epochs: int = 2")
    assert record(recorded, {**hashes, name: code_hash(edited)})[1] == [
        "finetune: its code changed, version 1 stays: its results must be the same."
    ]


def test_a_modules_name_is_that_of_one_file():
    stems = Counter(path.stem for path in versions.FOLDER.rglob("*.py"))
    assert {name for name in versions.files() if stems[name] > 1} == set()


def test_our_modules_import_one_another_by_their_full_names():
    for path in versions.files().values():
        relative = [node for node in ast.walk(ast.parse(path.read_bytes())) if getattr(node, "level", 0)]
        assert not relative, f"{path.name}: a relative import would not be counted"


def test_the_folders_of_modules_are_known():
    assert {*FOLDERS, versions.FOLDER.name} == {path.parent.name for path in versions.files().values()}


def test_engines_change_no_result_and_have_no_version():
    assert list(versions.ENGINES.glob("*.py")) and not {path.stem for path in versions.ENGINES.glob("*.py")} & {
        *versions.files(),
        *versions.recorded(),
    }


def test_a_method_uses_its_module_and_what_that_imports():
    assert versions.of_method("retrain") == {"layout": 1, "retrain": 1, "training": 2}
    assert versions.of_method("eu_k").keys() == {"freeze", "layers", "layout", "teachers", "training"}
    assert all(method.module in versions.of_method(name) for name, method in ALGORITHMS.items())


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("import os", set()),
        ("import forget512.scoring as s\nfrom forget512 import evaluate\nfrom forget512.scoring import score", set()),
        ("from .forget512.algorithms import finetune", set()),
        ("from forget512.algorithms import finetune\nimport torch", {"finetune", "layout", "training"}),
        ("def f():\n    import forget512.algorithms.training as t", {"layout", "training"}),
        ("from forget512.algorithms.training import Images", {"layout", "training"}),
        ("from forget512.algorithms.tools import checks", {"checks"}),
        (
            "from forget512.algorithms.literature.freeze import *",
            {"freeze", "layers", "layout", "teachers", "training"},
        ),
        ("from forget512.algorithms.engines.choice import choosing", set()),
        ("from forget512.algorithms import engines", set()),
    ],
)
def test_of_our_modules_a_file_uses_those_that_it_imports_and_their_imports(text, modules):
    assert set(versions.of_sources([text.encode()])) == modules


@pytest.mark.parametrize(
    "text",
    [
        "import forget512",
        "import forget512.harness.api",
        "import forget512.algorithms",
        "from forget512 import algorithms as a",
        "from forget512.algorithms import *",
        "from forget512.algorithms import ALGORITHMS",
        "from forget512.algorithms import tools",
        "from forget512.algorithms.catalogue import Method",
    ],
)
def test_where_it_cannot_be_known_which_modules_are_imported_all_count(text):
    assert set(versions.of_sources([text.encode()])) == set(versions.files())
