"""What the documents say is true: messages that the code has, examples that print what stands below them, citations."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
import textwrap
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import forget512
from forget512 import scoring

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)
CITATION = re.compile(r'metric\.md, (?:section (\d+)|"([^"]+)")')
HEADING = re.compile(r"^#+ (?:(\d+)\. )?(.+)$", re.MULTILINE)
MESSAGES = re.findall(r"^### `(.*)`$", (ROOT / "docs" / "troubleshooting.md").read_text(), re.M)


def import_file(name: str, path: Path) -> types.ModuleType:
    """A script of the documents as a module."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


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


def test_the_python_page_has_all_that_is_offered():
    page = (ROOT / "docs" / "reference" / "python.md").read_text()
    listed = {name for line in re.findall(r"members: \[(.*)\]", page) for name in line.split(", ")}
    assert listed == {*forget512.__all__, *scoring.__all__}
    assert all(getattr(forget512, name).__doc__ for name in forget512.__all__)


def test_notebooks_and_scripts_import_what_is_offered_alone():
    cells = [
        "".join(cell["source"])
        for path in (ROOT / "notebooks").glob("*.ipynb")
        for cell in json.loads(path.read_text())["cells"]
        if cell["cell_type"] == "code"
    ]
    code = "\n".join([*cells, *(path.read_text() for path in (ROOT / "deploy").glob("*.py"))])
    imported = set(re.findall(r"^ *(?:from|import) (forget512[\w.]*)", code, re.M))
    assert imported == {"forget512", "forget512.scoring"}


def test_the_readme_fits_a_few_screens():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


# --- docs/sessions.py ---


@pytest.fixture(scope="module")
def sessions() -> types.ModuleType:
    return import_file("sessions", ROOT / "docs" / "sessions.py")


def test_the_readmes_table_looks_like_that_of_the_quick_start(sessions):
    """The quick start's is checked against what the command prints now; it has the same algorithms at a smaller N."""
    table = (ROOT / "README.md").read_text().partition("`make eval` prints")[2].partition("\n- **")[0]
    quick = (ROOT / "docs" / "quick-start.md").read_text()
    shown = {sessions.mask(line) for block in sessions.blocks(quick) for line in block.lines}
    lines = [sessions.mask(line) for line in table.splitlines()[2:]]
    other = [line for line in lines if line not in shown]  # notes depend on the numbers
    assert len(lines) > 15 and len(other) <= (1 - sessions.ALIKE) * len(lines), other


PAGE = """\
```text
# name.txt
anna
```

- a step

  ```console
  $ tail -1 name.txt; echo 0.25 s, run 7f3a91bc55
  anna
  0.19 s, run 00000000a1
  $ seq 3; false
  …
  3
  ```
"""


@pytest.mark.parametrize(
    ("changed", "agrees"), [("anna\n  0", True), ("ben\n  0", False), ("anna\n  now 0", False), ("anna\n\n  0", False)]
)
def test_a_session_is_run_in_order_and_compared_without_numbers(sessions, changed, agrees):
    [(block, lines)] = sessions.run_page(PAGE.replace("anna\n  0", changed))
    assert lines == [block.lines[0], "anna", "0.25 s, run 7f3a91bc55", "$ seq 3; false", "…", "3"]
    assert sessions.matches(block.lines, lines) is agrees


# --- docs/contributing.md ---


def example(title: str) -> str:
    """The first Python file that a section of docs/contributing.md shows."""
    section = (ROOT / "docs" / "contributing.md").read_text().partition(f"\n## {title}\n")[2]
    return textwrap.dedent(section.partition("```python\n")[2].partition("```")[0])


@pytest.fixture
def run(monkeypatch) -> Callable[[str], dict[str, Any]]:
    """run(code): the names that a file defines."""

    def execute(code: str) -> dict[str, Any]:
        module = types.ModuleType("example")
        monkeypatch.setitem(sys.modules, "example", module)  # dataclasses look their module up
        exec(code, module.__dict__)
        return module.__dict__

    return execute


def test_the_method_that_contributing_shows_works(run):
    net = run(example("Add a method"))["halve"](torch.nn.Linear(2, 2, bias=False), None, None, None, share=1.0)
    assert net.weight.abs().max() <= 0.5 / 2**0.5  # the usual initialisation is at most 1/√2


def test_the_metric_that_contributing_shows_works(run):
    found = run(example("Add a metric"))["mean_gap"]([[2.0], [4.0]], [[1.0], [1.0]])
    assert found.plain() == {"gap": 2.0} and list(found.lines()) == ["mean gap 2.0000"]


# --- scoring/ ---


@pytest.mark.parametrize("name", ["README.md", "metric.md"])
def test_each_example_prints_what_is_written_below_it(name, capsys):
    text = (ROOT / "scoring" / name).read_text()
    examples = EXAMPLE.findall(text)
    assert len(examples) == text.count("```python") > 0
    variables: dict[str, Any] = {}
    for code, output in examples:
        exec(code, variables)
        assert capsys.readouterr().out == output


def test_the_sections_of_the_metric_that_are_cited_exist():
    sections = {name for heading in HEADING.findall((ROOT / "scoring" / "metric.md").read_text()) for name in heading}
    cited = {}
    for path in (path for folder in ("scoring", "harness", "tests") for path in (ROOT / folder).rglob("*.py")):
        text = re.sub(r"\s+#? ?", " ", path.read_text())  # a citation may go on in the next line of a comment
        cited |= {section or title: path for section, title in CITATION.findall(text)}
    assert len(cited) > 5
    assert not {section: path for section, path in cited.items() if section not in sections}
