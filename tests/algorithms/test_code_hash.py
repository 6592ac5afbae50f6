"""The canonical hash of code: what changes it, what does not, and that it is the same wherever it is computed."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from forget512.algorithms.code_hash import code_hash
from forget512.harness.isolation.environment import ROOT
from support.interpreters import interpreters

SOURCES = Path(__file__).parent / "code_hash"  # a file each, with the digests in digests.json
DIGESTS = json.loads((SOURCES / "digests.json").read_text("utf-8"))
PRINT = (
    "import json, pathlib, sys; from forget512.algorithms.code_hash import code_hash; print(json.dumps("
    "{p.name: code_hash(p.read_bytes()) for p in sorted(pathlib.Path(sys.argv[1]).glob('*.py.txt'))}))"
)
PLAIN = "X = 1\n\ndef f(x):\n    y = x + 1\n    print('text')\n    return y\n"


def digest(text: str) -> str:
    return code_hash(text.encode())


@pytest.mark.parametrize("name", DIGESTS)
def test_the_digests_are_the_stored_ones(name):
    assert code_hash((SOURCES / name).read_bytes()) == DIGESTS[name]


def test_every_source_has_a_digest():
    assert {path.name for path in SOURCES.glob("*.py.txt")} == set(DIGESTS)


@pytest.mark.parametrize("python", interpreters())
def test_the_digests_are_the_same_under_every_python(python):
    """Without any installed package (-I -S)."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {PRINT}"
    done = subprocess.run([python, "-I", "-S", "-c", code, SOURCES], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == DIGESTS


@pytest.fixture(scope="session")
def latin(tmp_path_factory) -> dict[str, str]:
    """Variables that set a Latin-1 locale."""
    folder = tmp_path_factory.mktemp("locales")
    command = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(folder / "en_US.ISO-8859-1")]
    if not shutil.which("localedef") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no Latin-1 locale can be made here (localedef)")
    return {"LOCPATH": str(folder), "LC_ALL": "en_US.ISO-8859-1"}


@pytest.mark.parametrize("locale", ["C", "latin"])
def test_the_digests_are_the_same_in_every_locale(locale, request):
    own = {"LC_ALL": "C"} if locale == "C" else request.getfixturevalue("latin")
    env = {**os.environ, **own, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code = f"import locale; assert locale.getpreferredencoding() != 'UTF-8'; {PRINT}"
    done = subprocess.run([sys.executable, "-c", code, SOURCES], env=env, capture_output=True, cwd=ROOT, check=True)
    assert json.loads(done.stdout) == DIGESTS


@pytest.mark.parametrize(
    "text",
    [
        'X = 1\ndef f(x):\n  y = (x + 1)  # one\n\n  print("text")\n  return y',
        '"""A module."""\n' + PLAIN.replace("(x):\n", '(x):\n    """Adds\n\n    one."""\n'),
        PLAIN.replace("\n", "\r\n"),
        "\ufeff" + PLAIN,
        PLAIN.replace("'text'", "u'te' 'xt'").replace("X = 1", "X = 0x1"),
    ],
)
def test_wording_changes_nothing(text):
    assert digest(text) == digest(PLAIN)


@pytest.mark.parametrize(
    "change",
    [
        ("x + 1", "x + 2"),
        ("X = 1", "X = 1.0"),
        ("X = 1", "X = True"),
        ("X = 1", "X: int = 1"),
        ("(x)", "(x, z=3)"),
        ("(x)", "(x, *, z=None)"),
        ("return y", "return x"),
        ("'text'", "'word'"),
        ("'text'", "b'text'"),
        ("'text'", "f'text'"),
        ("'text'", "*'text'"),
        ("def", "async def"),
        ("    return y", "return_y"),
    ],
)
def test_changing_code_changes_the_hash(change):
    assert digest(PLAIN.replace(*change)) != digest(PLAIN)


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("from forget512.a.b import c, d\n", "from forget512.e import d\nfrom forget512.f import c\n"),
        ("import forget512.a as b, os\nx = b", "from forget512.algorithms.tools import a as b\nimport os\nx = b"),
        ("def f():\n    from forget512.a import b\n    b()", "def f():\n    from forget512.b import b\n    b()"),
    ],
)
def test_where_our_modules_lie_and_their_order_change_nothing(text, moved):
    assert digest(text) == digest(moved)


@pytest.mark.parametrize(
    "text",
    [
        "from forget512.a import c",
        "from forget512.a import b as c",
        "from forget512.a import *",
        "from forget512.algorithms.tools import b",  # a module, not a function
        "from a import b",
        "def f():\n    from forget512.a import b",
        "",
    ],
)
def test_another_name_of_ours_changes_the_hash(text):
    assert digest("from forget512.a import b\n") != digest(text)


def test_of_two_imports_of_one_name_the_last_counts():
    first, second = "from forget512.a import b\n", "from forget512.a import c as b\n"
    assert digest(first + second) != digest(second + first)


def test_an_import_of_ours_counts_where_it_stands():
    ours, use = "from forget512.a import b\n", "b = 1\n"
    assert digest(ours + use) != digest(use + ours)


def test_imports_of_others_count_where_they_are():
    assert digest("import a\nimport b") != digest("import b\nimport a")
    assert digest("from .forget512 import a") != digest("from .forget512 import b")


@pytest.mark.parametrize("text", ["x = = 2", "x = '\0'", "(" * 500 + ")" * 500, "-" * 200_000 + "1", "# coding: no\n"])
def test_what_is_not_python_is_a_syntax_error(text):
    with pytest.raises(SyntaxError):
        digest(text)


def test_a_file_that_would_fill_the_memory_is_not_parsed():
    with pytest.raises(SyntaxError, match="more than 10,000,000 bytes"):
        digest("#" * 10_000_001)


def test_a_long_chain_of_branches_can_be_hashed():
    text = "if x == 0: pass\n" + "".join(f"elif x == {number}: pass\n" for number in range(400))
    ast.parse(text)
    assert len(digest(text)) == 64


def test_reading_a_source_warns_of_nothing(recwarn):
    digest(r'x = "\d"')
    assert not recwarn.list
