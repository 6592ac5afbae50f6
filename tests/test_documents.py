"""What the documents say of the program: messages that it has, and a README that fits a few screens."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from forget512 import scoring

ROOT = Path(__file__).resolve().parents[1]
MESSAGES = re.findall(r"^### `(.*)`$", (ROOT / "docs" / "troubleshooting.md").read_text(), re.M)


@pytest.fixture(scope="module")
def texts() -> str:
    """Every text in the code, a line each, with … for a value that is put into it."""
    found = []
    for path in (path for part in ("harness", "scoring") for path in (ROOT / part).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_the_page_explains_messages():
    assert len(MESSAGES) > 20


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_that_is_explained_is_one_that_the_code_has(texts, message):
    """A … of the page stands for a value, or for words that are put together elsewhere."""
    parts = [part.strip(" ():,.") for part in message.split("…")]
    missing = [part for part in parts if part and part not in texts]
    assert not missing, f"no text in the code has {missing[0]!r}: correct docs/troubleshooting.md"


def test_the_python_page_has_all_that_scoring_offers():
    page = (ROOT / "docs" / "reference" / "python.md").read_text()
    listed = {name for line in re.findall(r"members: \[(.*)\]", page) for name in line.split(", ")}
    assert listed == set(scoring.__all__)


def test_the_readme_fits_a_few_screens():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
