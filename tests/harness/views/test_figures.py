"""Figures for papers: files that are there, of the stated size, with text that is text."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path

import pytest
from PIL import Image

from forget512.harness.errors import UserError
from forget512.harness.results.contents import find_contents
from forget512.harness.store.backends.folder import Folder
from forget512.harness.views.figures import COLUMN, PAGE, draw_reproduction, read_reproduction, write_figures
from support.synthetic import describe, fill

TABLES = [
    {
        "table": "Loss",
        "rows": [
            {"label": "CE", "writeup": 0.0653, "score": 0.05, "interval": [0.04, 0.06], "share_of_ceiling": 0.3},
            {"label": "L1 ($x$)", "writeup": None, "score": 0.02, "interval": [0.015, 0.03], "share_of_ceiling": 0.1},
        ],
    },
    {
        "table": "Cycles",
        "rows": [
            {"label": "1", "writeup": 0.068, "score": 0.04, "interval": None, "share_of_ceiling": None},
            {"label": "2", "writeup": 0.0844, "score": None, "interval": None, "share_of_ceiling": None},
        ],
    },
]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    root = tmp_path_factory.mktemp("figures") / "store"
    fill(root, describe(6), {"near": (0.1, 0.9), "cost_$x$": (1.0, 0.5)}, 8)
    return find_contents(Folder(root))


@pytest.fixture(scope="module")
def drawn(stored, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "reproduction-x.json").write_text(json.dumps(TABLES))
    write_figures(stored, folder / "out", reproductions=[folder / "reproduction-x.json"])
    return folder / "out"


def text_of_pdf(path: Path) -> bytes:
    """All streams of a PDF, unpacked."""
    streams = re.findall(rb"stream\r?\n(.*?)endstream", path.read_bytes(), re.DOTALL)
    return b"".join(zlib.decompress(each) if each[:1] == b"x" else each for each in streams)


def test_every_figure_is_a_pdf_and_a_png_as_wide_as_a_column_or_a_page(drawn):
    names = {"distributions-forget", "distributions-retain", "scores", "f-against-n", "reproduction-x"}
    assert {path.name for path in drawn.iterdir()} == {f"{n}.{kind}" for n in names for kind in ("pdf", "png")}
    for name in names:
        wide = PAGE if name.startswith(("distributions", "reproduction")) else COLUMN
        assert Image.open(drawn / f"{name}.png").width == pytest.approx(300 * wide, abs=1)
        box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", (drawn / f"{name}.pdf").read_bytes())
        assert box and float(box[1]) == pytest.approx(72 * wide, abs=0.1)


def test_text_in_a_pdf_is_text_in_a_truetype_font(drawn):
    pdf = (drawn / "scores.pdf").read_bytes()
    assert b"/Type3" not in pdf and (b"/TrueType" in pdf or b"/CIDFontType2" in pdf)
    assert b" Tj" in text_of_pdf(drawn / "scores.pdf") or b" TJ" in text_of_pdf(drawn / "scores.pdf")


def test_drawing_twice_gives_the_same_file(stored, drawn, tmp_path):
    write_figures(stored, tmp_path)
    assert (tmp_path / "scores.pdf").read_bytes() == (drawn / "scores.pdf").read_bytes()


def test_a_reproduction_shows_each_row_of_each_table_beside_the_published_number():
    figure = draw_reproduction({"tables": TABLES, "runs": 64})
    first, second = (axes for axes in figure.axes if axes.get_visible())
    assert [label.get_text() for label in first.get_yticklabels()] == ["CE", r"L1 (\$x\$)"]
    widths = {axes: [round(bar.get_width(), 4) for bar in axes.patches] for axes in (first, second)}
    assert widths[first] == [0.0653, 0.05, 0.02]  # one has no published number
    assert widths[second] == [0.068, 0.0844, 0.04]  # one was not run here
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["published", "here, N = 64"]


def test_only_the_candidates_that_are_named_are_drawn(stored, tmp_path):
    write_figures(stored, tmp_path, names=["near"])
    assert Image.open(tmp_path / "distributions-forget.png").width == pytest.approx(300 * COLUMN, abs=1)
    with pytest.raises(UserError, match=r"candidate 'nearer' is not known.*Did you mean 'near'"):
        write_figures(stored, tmp_path, names=["nearer"])


def row(**values) -> str:
    return json.dumps([{"table": "x", "rows": [values]}])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '[{"table": "x"}]',
        row(label="a"),
        row(label="a", score="0.1"),
        row(label="a", score=float("nan")),
        row(label="a", score=0.1, interval=[0.1]),
    ],
)
def test_what_is_not_a_reproduction_is_refused(text, tmp_path):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError, match="is not the output of `reproduce NAME --json`"):
        read_reproduction(tmp_path / "x.json")


def test_a_reproduction_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_reproduction(tmp_path / "nowhere.json")
