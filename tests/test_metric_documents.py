"""The documents of scoring/: their examples print what is written below them, and citations of metric.md exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)
CITATION = re.compile(r'metric\.md, (?:section (\d+)|"([^"]+)")')
HEADING = re.compile(r"^#+ (?:(\d+)\. )?(.+)$", re.MULTILINE)


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
