"""Writes the report, a folder with a page that opens offline, with one candidate's runs in memory at a time."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from plotly.offline import get_plotlyjs

from forget512.harness.benchmark.benchmark import title
from forget512.harness.benchmark.data.dataset import Dataset
from forget512.harness.errors import UserError
from forget512.harness.results.board import make_board
from forget512.harness.results.contents import Contents
from forget512.harness.results.densities import STEP
from forget512.harness.results.rows import Reference
from forget512.harness.results.store_boards import find_floor
from forget512.harness.results.stored_rows import StoredRow, count_provenance, read_reference, stored_rows
from forget512.harness.views.html.packing import QUANTILES
from forget512.harness.views.html.page_values import board_json, candidate_json, pairs_json, runs_json
from forget512.harness.views.html.thumbnails import make_sprite
from forget512.scoring import COMPETITION_RUNS, COMPETITION_SHARE

TEMPLATES = Path(__file__).parent / "templates"
COPIED = ("report.css", "report.js", "views.js")


def write_page(
    contents: Contents,
    out: Path,
    *,
    runs: int | None = None,
    partial: bool = False,
    dataset: Dataset | None = None,
    command: str = "",
) -> int:
    """Write the folder, then replace an older report by it; return its size in bytes.

    runs: N on each side; None: the most that a candidate and the reference have. partial: also score banks with fewer
    runs. dataset: for the thumbnails. command: shown on the page.

    Raises:
        UserError: out holds other files, or the runs cannot be read or scored.
    """
    out = out.resolve()
    _check_folder(out)
    reference = read_reference(contents, runs)
    part, old = (out.with_name(f".{out.name}.{kind}-{os.getpid()}") for kind in ("part", "old"))
    try:
        with _writing(out):
            (part / "data").mkdir(parents=True)
        _write(contents, part, reference, partial, dataset, command)
        with _writing(out):
            if out.exists():
                out.rename(old)
            part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if old.exists() and not out.exists():
            old.rename(out)
    shutil.rmtree(old, ignore_errors=True)
    return sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def _write(
    contents: Contents, out: Path, reference: Reference, partial: bool, dataset: Dataset | None, command: str
) -> None:
    _script(out, "reference", runs_json(reference.side))
    found: dict[str, StoredRow] = {}
    keys: dict[str, str] = {}
    for candidate, side in stored_rows(contents, reference, partial):
        name = candidate.row.algorithm
        found[name], keys[name] = candidate, f"c{len(found):03}"
        if candidate.row.score:  # while the bank is in memory
            _script(out, keys[name], candidate_json(candidate, side, reference))
        del side
    floor = find_floor(contents.benchmark, [candidate.bank for candidate in found.values()])
    rows = [candidate.row for candidate in found.values()]
    board = make_board(reference, rows, found[floor.name].row if floor else None)
    _script(out, "pairs", pairs_json(board, keys))
    indices = contents.benchmark.forget_indices
    sprite = make_sprite(dataset.x_train[indices]) if dataset and indices is not None else None
    if sprite:
        (out / f"thumbnails.{sprite.suffix}").write_bytes(sprite.data)
    targets = contents.benchmark.targets.forget
    values = board_json(board, keys)
    _script(
        out,
        "board",
        {
            "candidates": [row for row in values["rows"] if row["score"] is not None],
            "targets": targets.tolist(),
            "indices": (np.arange(len(targets)) if indices is None else indices).tolist(),
            "ceiling": board.ceiling.quality if board.ceiling else None,
            "sprite": {k: v for k, v in vars(sprite).items() if k != "data"} if sprite else None,
        },
    )
    (out / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
    for name in COPIED:
        shutil.copyfile(TEMPLATES / name, out / name)
    made = _made(contents, [found[row.algorithm] for row in board.rows], reference, command)
    (out / "index.html").write_text(_render(values, made, sprite is not None), encoding="utf-8")


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"--out {out} cannot be written ({error.strerror}): give a writable folder.") from error


def _check_folder(out: Path) -> None:
    """Refuse a folder that holds anything but a report, since its content will be replaced."""
    ours = {"index.html", "plotly.min.js", "data", *COPIED}
    try:
        names = {path.name for path in out.iterdir()} if out.is_dir() else set()
        foreign = {name for name in names - ours if not name.startswith("thumbnails.")}
        foreign |= {path.name for path in (out / "data").glob("*") if path.suffix != ".js"}
    except OSError as error:
        raise UserError(f"--out {out} cannot be read ({error.strerror}): give a new folder.") from error
    if (out.exists() and not out.is_dir()) or foreign or (names and not names.issuperset(COPIED)):
        what = f" ({min(foreign)})" if foreign else ""
        raise UserError(f"--out {out} holds something that is not a report{what}: give a new or empty folder.")


def _made(contents: Contents, candidates: Sequence[StoredRow], reference: Reference, command: str) -> dict[str, Any]:
    identity = contents.benchmark.identity
    done = {
        "retrain": count_provenance(reference.side.provenance),
        **{each.bank.name: each.provenance for each in candidates},
    }
    return {
        "title": title(contents.benchmark),
        "fingerprint": contents.benchmark.fingerprint,
        "split": identity["split"],
        "recipe": identity["recipe"],
        "identity": {
            "data": identity["data"]["sha256"],
            "classes": identity["data"]["classes"],
            "network": identity["model"]["name"],
            "precision": identity["precision"],
        },
        "banks": [contents.reference, *(each.bank for each in candidates)],
        "others": contents.others,
        "damaged": contents.damaged,
        "provenance": done,
        "quantiles": QUANTILES,
        "step": STEP,
        "command": command,
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _render(board: dict[str, Any], made: dict[str, Any], pictures: bool) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["percent"] = lambda value: "–" if value is None else f"{value:.1%}"
    environment.filters["number"] = lambda value: "–" if value is None else f"{value:.4f}"
    page = environment.get_template("index.html.j2")
    return page.render(board=board, made=made, pictures=pictures, rule=COMPETITION_SHARE, competition=COMPETITION_RUNS)


def _script(out: Path, name: str, values: dict[str, Any]) -> None:
    """Write a script file that holds values: a page on disk may load scripts, but not read files."""
    text = json.dumps(values, separators=(",", ":"), allow_nan=False)  # ASCII
    (out / "data" / f"{name}.js").write_text(f'forget512.take("{name}",{text});\n', encoding="ascii")
