"""Draws figures for papers, as PDF and PNG: distributions, scores, F against N, and a publication's tables."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

from forget512.harness.errors import UserError, first_line
from forget512.harness.results.board import in_order
from forget512.harness.results.contents import Contents
from forget512.harness.results.rows import Reference
from forget512.harness.results.stored_rows import StoredRow, read_reference, stored_rows

COLUMN, PAGE = 3.35, 6.9  # inches: the widths of one column and of the text on a two-column page
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7,
    "pdf.fonttype": 42,  # TrueType, which keeps text as text
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "savefig.dpi": 300,
    "axes.prop_cycle": cycler(color=["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"]),
}
RETRAINED, UNLEARNED = "#0072b2", "#d55e00"  # distinct in every kind of colour vision (Okabe & Ito 2008)
MARKERS = "osD^vP*X"
A_ROW = 3  # panels
TITLE = 1.8  # height of a table's title and axis, in rows of bars


def write_figures(
    contents: Contents,
    out: Path,
    *,
    names: Sequence[str] = (),
    runs: int | None = None,
    partial: bool = False,
    reproductions: Sequence[Path] = (),
) -> list[Path]:
    """Draw the candidates of a benchmark (those named, or all); return the files written.

    reproductions: files with the output of `reproduce --json`. runs, partial: as for the report.

    Raises:
        UserError: a name, a reproduction or a record cannot be used, or there is nothing to draw.
    """
    tables = {path: read_reproduction(path) for path in reproductions}
    reference = read_reference(contents, runs)
    found = {}
    for each, side in stored_rows(contents, reference, partial, names):
        found[each.row.algorithm] = each
        del side
    scored = [found[row.algorithm] for row in in_order(each.row for each in found.values()) if row.score]
    if not scored:
        raise UserError(f"no candidate has {reference.runs} runs: run `evaluate`, or draw fewer runs with --partial.")
    figures = {f"distributions-{kind}": draw_distributions(scored, kind) for kind in ("forget", "retain")}
    figures["scores"] = draw_scores(scored, reference)
    if any(each.convergence for each in scored):
        figures["f-against-n"] = draw_convergence(scored, reference)
    for path, values in tables.items():
        figures[path.stem] = draw_reproduction(values)
    try:
        out.mkdir(parents=True, exist_ok=True)
        return [file for name, figure in figures.items() if figure for file in _save(figure, out / name)]
    except OSError as error:
        raise UserError(f"--out {out} cannot be written ({error.strerror}): give a writable folder.") from error


def draw_distributions(candidates: Sequence[StoredRow], kind: str) -> Figure | None:
    """Draw a panel per candidate: its runs' confidences on the forget or retain set, and the retrained runs'."""
    shown = [each for each in candidates if kind in each.densities]
    if not shown:
        return None
    columns = min(len(shown), A_ROW)
    rows = math.ceil(len(shown) / columns)
    with rc_context(STYLE):
        width = COLUMN if columns == 1 else PAGE
        figure = Figure(figsize=(width, 0.45 + 1.6 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for letter, (each, axes) in enumerate(zip(shown, panels, strict=False)):
            found = each.densities[kind]
            axes.fill_between(found.confidence, found.retrained, color=RETRAINED, alpha=0.25, linewidth=0)
            axes.plot(found.confidence, found.retrained, color=RETRAINED, linewidth=1, label="retrained")
            axes.plot(
                found.confidence, found.unlearned, color=UNLEARNED, linewidth=1.2, linestyle="--", label="unlearned"
            )
            axes.set_title(f"({chr(ord('a') + letter % 26)}) {_plain(each.row.algorithm)}")
            axes.set_yticks([])
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
        figure.axes[0].set_ylim(0, 1.05 * max(each.densities[kind].highest for each in shown))
        figure.supxlabel(f"logit-scaled confidence, {kind} set", fontsize=8)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure


def draw_scores(candidates: Sequence[StoredRow], reference: Reference) -> Figure:
    """Draw scores with their 95 % intervals, the best at the top, and the ceiling as a line."""
    with rc_context(STYLE):
        figure = Figure(figsize=(COLUMN, 0.75 + 0.22 * len(candidates)), layout="constrained")
        axes = figure.subplots()
        for place, each in enumerate(candidates):
            assert each.row.score
            _bar(axes, place, each.row.score.score, each.row.score.interval)
        _rows(axes, [_plain(each.row.algorithm) for each in candidates])
        if reference.ceiling:
            axes.axvline(reference.ceiling.quality, color="black", linestyle="--", linewidth=0.8)
            axes.annotate("ceiling", (reference.ceiling.quality, 1), xycoords=("data", "axes fraction"), xytext=(-2, 1),
                          textcoords="offset points", ha="right", va="bottom", fontsize=7)  # fmt: skip
        axes.set_xlim(left=0)
        axes.set_xlabel(f"score, N = {reference.runs}, 95 % interval over runs")
    return figure


def draw_convergence(candidates: Sequence[StoredRow], reference: Reference) -> Figure:
    """Draw F of banks of 8, 16, … runs, mean and standard deviation, and the ceiling as a line."""
    with rc_context(STYLE):
        figure = Figure(figsize=(COLUMN, 2.6), layout="constrained")
        axes = figure.subplots()
        for place, each in enumerate(candidates):
            axes.errorbar(
                [at.runs for at in each.convergence],
                [at.quality for at in each.convergence],
                yerr=[at.spread or 0.0 for at in each.convergence],
                label=_plain(each.row.algorithm),
                marker=MARKERS[place % len(MARKERS)],
                markersize=3.5,
                linewidth=1,
                capsize=2,
            )
        if reference.ceiling:
            axes.axhline(reference.ceiling.quality, color="black", linestyle="--", linewidth=0.8, label="ceiling")
        axes.set_xscale("log", base=2)
        axes.set_xticks([at.runs for at in candidates[0].convergence])
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("runs a side, N")
        axes.set_ylabel("F")
        axes.legend()
    return figure


def draw_reproduction(values: dict[str, Any]) -> Figure:
    """Draw a panel per table: the published numbers, and those measured here with intervals, row by row."""
    tables = values["tables"]
    heights = [max(len(table["rows"]), 2) for table in tables]
    columns = 2 if len(tables) > 1 else 1
    left = _halves(heights) if columns == 2 else len(tables)
    with rc_context(STYLE):
        parts = [range(left), range(left, len(tables))][:columns]
        tallest = max(sum(heights[k] + TITLE for k in part) for part in parts)
        most = 1.05 * max(_numbers(tables), default=1.0)
        figure = Figure(figsize=(PAGE if columns == 2 else COLUMN, 0.6 + 0.24 * tallest), layout="constrained")
        for part, half in zip(parts, figure.subfigures(1, columns, squeeze=False)[0], strict=True):
            # Empty space below the shorter column keeps all bars equally thick.
            room = tallest - sum(heights[k] + TITLE for k in part)
            ratios = [*(heights[k] for k in part), room] if room else [heights[k] for k in part]
            panels = half.subplots(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
            for k, axes in zip(part, panels, strict=False):
                _draw_table(axes, tables[k])
                axes.set_xlim(0, most)
            for axes in panels[len(part) :]:
                axes.set_visible(False)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        runs = f"here, N = {values['runs']}" if "runs" in values else "here"
        figure.legend(handles, [label.replace("here", runs) for label in labels], loc="outside upper center", ncols=2)
    return figure


def read_reproduction(path: Path) -> dict[str, Any]:
    """Read output of `reproduce --json`: {"tables": [{"table", "rows": [{"label", "writeup", "score", "interval"}]}]}.

    The list of tables alone is also accepted.

    Raises:
        UserError: the file has another format.
    """
    try:
        found = json.loads(path.read_text())
        values = {"tables": found} if isinstance(found, list) else found
        for table in values["tables"]:
            table["table"].strip()
            for row in table["rows"]:
                row["label"].strip()
                low, high = row.get("interval") or (0, 0)
                if not math.isfinite(sum((row["score"] or 0, row.get("writeup") or 0, low, high))):
                    raise ValueError("it has numbers that are not finite")
        if not any(table["rows"] for table in values["tables"]):
            raise ValueError("it has no rows")
    except FileNotFoundError as error:
        raise UserError(
            f"--reproduction {path} does not exist: give a file with the output of `reproduce NAME --json`."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"--reproduction {path} is not the output of `reproduce NAME --json` ({first_line(error)})."
        ) from error
    return {**values, "tables": [table for table in values["tables"] if table["rows"]]}


def _draw_table(axes: Axes, table: dict[str, Any]) -> None:
    rows = table["rows"]
    theirs = [(place, row["writeup"]) for place, row in enumerate(rows) if row.get("writeup") is not None]
    ours = [(place, row) for place, row in enumerate(rows) if row["score"] is not None]
    axes.barh([place - 0.2 for place, _ in theirs], [value for _, value in theirs], 0.36, label="published",
              color="white", edgecolor="#555555", hatch="////", linewidth=0.6)  # fmt: skip
    axes.barh(
        [place + 0.2 for place, _ in ours], [row["score"] for _, row in ours], 0.36, label="here", color=RETRAINED
    )
    for place, row in ours:
        if row.get("interval"):
            low, high = row["interval"]
            axes.errorbar(row["score"], place + 0.2, xerr=[[max(row["score"] - low, 0)], [max(high - row["score"], 0)]],
                          color="black", linewidth=0.8, capsize=1.5)  # fmt: skip
    _rows(axes, [_plain(row["label"]) for row in rows])
    axes.set_title(_plain(table["table"]), loc="left", fontweight="bold")


def _numbers(tables: Sequence[dict[str, Any]]) -> Iterator[float]:
    """Collect the drawn values above 0."""
    for row in (row for table in tables for row in table["rows"]):
        yield from (n for n in (row.get("writeup"), row["score"], *(row.get("interval") or ())) if n)


def _halves(heights: Sequence[int]) -> int:
    """Return the number of tables in the left column with which both columns have about the same length."""
    return min(range(1, len(heights)), key=lambda k: abs(sum(heights[:k]) - sum(heights[k:])))


def _bar(axes: Axes, place: int, value: float, interval: tuple[float, float] | None) -> None:
    if interval:
        axes.plot(interval, (place, place), color=UNLEARNED, linewidth=1.2)
        axes.plot(interval, (place, place), color=UNLEARNED, linestyle="", marker="|", markersize=5)
    axes.plot(value, place, color=UNLEARNED, marker="o", markersize=4)


def _rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)  # the first at the top
    axes.tick_params(axis="y", length=0)


def _plain(text: str) -> str:
    """Escape dollar signs, between which Matplotlib reads formulas."""
    return text.replace("$", r"\$")


def _save(figure: Figure, path: Path) -> list[Path]:
    with rc_context(STYLE):
        figure.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None})  # equal input gives an equal file
        figure.savefig(path.with_suffix(".png"))
    return [path.with_suffix(".pdf"), path.with_suffix(".png")]
