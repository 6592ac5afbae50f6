"""Formats a store's leaderboard as a terminal table, Markdown, CSV or JSON."""

import csv
import io
import json
from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from forget512.harness.benchmark.benchmark import title
from forget512.harness.results.board_rows import COLUMNS, board_rows
from forget512.harness.results.store_boards import StoredBoard
from forget512.harness.views.board_table import rank_text, show_leaderboard
from forget512.harness.views.json_output import leaderboard_json
from forget512.harness.views.text import interval_text, number

SCHEMA = "forget512/leaderboards/1"


def as_table(boards: Sequence[StoredBoard], left_out: Sequence[str]) -> RenderableType:
    """Format one board after another, each with its notes."""
    parts: list[RenderableType] = []
    for board in boards:
        parts += [show_leaderboard(board.board, board.benchmark), *map(Text, board.notes), Text("")]
    return Group(*parts, *map(Text, left_out))


def as_csv(boards: Sequence[StoredBoard], left_out: Sequence[str]) -> str:
    """Format one line per row, of all benchmarks, with full precision; the last column has the warnings' texts."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for board in boards:
        writer.writerows({"benchmark": board.benchmark.fingerprint[:12], **row} for row in board_rows(board.board))
    return out.getvalue().rstrip("\n")


def as_markdown(boards: Sequence[StoredBoard], left_out: Sequence[str]) -> str:
    """Format one table per benchmark, with its warnings below it."""
    return "\n\n".join([*(_markdown(board) for board in boards), *left_out])


def as_json(boards: Sequence[StoredBoard], left_out: Sequence[str]) -> str:
    """Format the boards as JSON (docs/scores.schema.json)."""
    values = {
        "schema": SCHEMA,
        "boards": [leaderboard_json(board.board, board.benchmark, {}) for board in boards],
        "notes": [*(note for board in boards for note in board.notes), *left_out],
    }
    return json.dumps(values, allow_nan=False)


FORMATS: dict[str, Callable[[Sequence[StoredBoard], Sequence[str]], str | RenderableType]] = {
    "table": as_table,
    "markdown": as_markdown,
    "csv": as_csv,
    "json": as_json,
}


def _markdown(board: StoredBoard) -> str:
    lines = [
        f"**{_escaped(title(board.benchmark))}, N = {board.board.reference.wanted}**",
        "",
        "| rank | algorithm | score | 95 % interval | of ceiling | F | RA ratio | TA ratio | not forgotten | joint AUC "
        "| s/run | of retraining | of 30 epochs | runs |",
        "| --: | --- | --: | --- | --: | --: | --: | --: | --- | --: | --: | --: | --: | --: |",
    ]
    ranks = [rank_text(row, board.board) for row in board.board.rows]
    values = list(board_rows(board.board))
    for rank, row in zip(ranks + [""] * (len(values) - len(ranks)), values, strict=True):
        mark = " \\*" if row.get("warnings") else ""
        ends = (row["low"], row["high"]) if row.get("low") is not None else None
        runs, wanted = row.get("runs"), row.get("wanted")
        low = row.get("not_forgotten_low")
        memory = None if low is None else (low, row["not_forgotten_high"])
        cells = [
            rank,
            _escaped(row["algorithm"]) + mark,
            number(row.get("score"), ".4f", ""),
            interval_text(ends, none=""),
            number(row.get("of_ceiling"), ".1%", ""),
            *(number(row.get(name), ".4f", "") for name in ("F", "retain_ratio", "test_ratio")),
            number(row.get("not_forgotten"), ".2f", "") + (f" ({memory[0]:.2f} … {memory[1]:.2f})" if memory else ""),
            number(row.get("joint_auc"), ".2f", ""),
            number(row.get("seconds"), ".2f", ""),
            number(row.get("of_retraining"), ".0%", ""),
            number(row.get("of_30_epochs"), ".0%", "") + (" !" if row.get("too_slow") else ""),
            "" if runs is None else str(runs) if runs == wanted else f"{runs} of {wanted}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    reasons = [
        f"\\* {_escaped(row['algorithm'])}: {_escaped(row['warnings'])}" for row in values if row.get("warnings")
    ]
    notes = [_escaped(note) for note in board.notes]
    return "\n".join(lines) + "".join(f"\n\n{text}" for text in reasons + notes)


def _escaped(text: str) -> str:
    """Escape characters that Markdown would read as markup."""
    for mark in ("\\", "|", "*", "_", "`", "<", "[", "]"):
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
