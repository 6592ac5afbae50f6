"""The report: a folder with a page that opens from disk, offline. One candidate's runs are in memory at a time."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from plotly.offline import get_plotlyjs

from forget512.harness.benchmark.data.dataset import Dataset
from forget512.harness.errors import UserError
from forget512.harness.results.assessment import COMPETITION_RUNS
from forget512.harness.results.board import level_of_each
from forget512.harness.results.contents import Contents
from forget512.harness.results.cost import RULE_SHARE
from forget512.harness.results.densities import STEP
from forget512.harness.results.store_boards import is_floor
from forget512.harness.results.summaries import (
    KINDS,
    Entry,
    Reference,
    in_order,
    provenance,
    read_reference,
    runs_json,
    summaries,
)
from forget512.harness.views.html.packing import QUANTILES, pack_side
from forget512.harness.views.html.thumbnails import make_sprite
from forget512.harness.views.text import comparison_text, projected_text
from forget512.scoring import LEVEL, compare, same_runs

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
    """Write the folder, in the place of an older report once it is whole; how many bytes it has.

    runs: N on each side; None: the most that a candidate and the reference have. partial: score short banks as well.
    dataset: for the thumbnails. command: shown on the page.

    Raises:
        UserError: out holds something else, or the runs cannot be read or scored.
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
    columns = reference.columns
    examples = pack_side(columns.confidences, columns.correct)
    _script(out, "reference", {"examples": examples, **runs_json(reference.readings)})
    found = []
    for entry, values in summaries(contents, reference, partial):
        found.append(entry)
        if values:
            _script(out, entry.key, values)
    entries = in_order(found)
    texts, better = _pairs(entries)
    _script(out, "pairs", texts)
    indices = contents.benchmark.forget_indices
    sprite = make_sprite(dataset.x_train[indices]) if dataset and indices is not None else None
    if sprite:
        (out / f"thumbnails.{sprite.suffix}").write_bytes(sprite.data)
    targets = contents.benchmark.targets.forget
    board = _board(contents, entries, reference, better)
    _script(
        out,
        "board",
        {
            "candidates": [row for row in board["rows"] if row["score"] is not None],
            "targets": targets.tolist(),
            "indices": (np.arange(len(targets)) if indices is None else indices).tolist(),
            "ceiling": reference.ceiling.quality if reference.ceiling else None,
            "sprite": {k: v for k, v in vars(sprite).items() if k != "data"} if sprite else None,
        },
    )
    (out / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
    for name in COPIED:
        shutil.copyfile(TEMPLATES / name, out / name)
    made = _made(contents, entries, reference, command)
    (out / "index.html").write_text(_render(board, made, sprite is not None), encoding="utf-8")


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"--out {out} cannot be written ({error.strerror}): give a folder that can.") from error


def _check_folder(out: Path) -> None:
    """Refuse a folder with anything in it that a report does not consist of: all of it is going to be replaced."""
    ours = {"index.html", "plotly.min.js", "data", *COPIED}
    try:
        names = {path.name for path in out.iterdir()} if out.is_dir() else set()
        foreign = {name for name in names - ours if not name.startswith("thumbnails.")}
        foreign |= {path.name for path in (out / "data").glob("*") if path.suffix != ".js"}
    except OSError as error:
        raise UserError(f"--out {out} cannot be read ({error.strerror}): give a new folder.") from error
    if (out.exists() and not out.is_dir()) or foreign or (names and not names.issuperset(COPIED)):
        what = f" ({min(foreign)})" if foreign else ""
        raise UserError(f"--out {out} holds something that is no report{what}: give a new or empty folder.")


def _pairs(entries: Sequence[Entry]) -> tuple[dict[str, str], dict[str, int]]:
    """In words, for each two scored candidates; and how many ranked ones are better than each, beyond doubt."""
    better: dict[str, int] = {}
    texts = {}
    ranked = [entry for entry in entries if entry.row.ranked]
    level = level_of_each(LEVEL, len(ranked) * (len(ranked) - 1) // 2)
    for first, second in combinations([entry for entry in entries if entry.score], 2):
        one, other = first.score, second.score
        assert one and other
        if same_runs(one.runs, other.runs):
            found = compare(one, other, level)
            text = comparison_text(first.bank.name, second.bank.name, found)
            if found and not found.tied and second.row.ranked:
                better[second.key] = better.get(second.key, 0) + 1
        else:
            text = f"N is {one.runs} and {other.runs}: F falls with N, so these scores are not compared."
        texts[f"{first.key} {second.key}"] = text
    return texts, better


def _board(
    contents: Contents, entries: Sequence[Entry], reference: Reference, better: dict[str, int]
) -> dict[str, Any]:
    top = reference.ceiling
    rows, floor = [], None
    for entry in entries:
        row, result = entry.row, entry.score
        rows.append(
            {
                "key": entry.key,
                "name": entry.bank.name,
                "rank": 1 + better.get(entry.key, 0) if row.ranked and result and result.interval else None,
                "runs": row.runs,
                "failed": row.failed,
                "ranked": row.ranked,
                "score": result.score if result else None,
                "interval": result.interval if result else None,
                "share": result.share_of_ceiling if result else None,
                "quality": result.forgetting_quality if result else None,
                "projected": projected_text(row.assessment) if row.assessment else "",
                "ratios": {"retain": result.retain_ratio, "test": result.test_ratio} if result else {},
                "accuracies": {kind: getattr(row, f"{kind}_accuracy") for kind in KINDS},
                "cost": {**vars(row.cost), "too_slow": row.cost.too_slow} if row.cost else None,
                "warnings": [warning.text for warning in row.warnings],
            }
        )
        if result and is_floor(contents.benchmark.name, entry.bank.identity):
            floor = result.score
    scored = [entry.score for entry in entries if entry.score]
    ends = [found.interval[1] if found.interval else found.score for found in scored]
    ends += [top.quality] if top else []
    return {
        "rows": rows,
        "ceiling": top,
        "floor": floor,
        "runs": reference.runs,
        "most": 1.05 * max(ends, default=1.0) or 1.0,
    }


def _made(contents: Contents, entries: Sequence[Entry], reference: Reference, command: str) -> dict[str, Any]:
    identity = contents.benchmark.identity
    done = {
        "retrain": provenance(reference.readings),
        **{entry.bank.name: entry.provenance for entry in entries},
    }
    return {
        "title": contents.title,
        "fingerprint": contents.benchmark.fingerprint,
        "split": identity["split"],
        "recipe": identity["recipe"],
        "identity": {
            "data": identity["data"]["sha256"],
            "classes": identity["data"]["classes"],
            "network": identity["model"]["name"],
            "precision": identity["precision"],
        },
        "banks": [contents.reference, *(entry.bank for entry in entries)],
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
    return page.render(board=board, made=made, pictures=pictures, rule=RULE_SHARE, competition=COMPETITION_RUNS)


def _script(out: Path, name: str, values: dict[str, Any]) -> None:
    """A script file that hands its values over: a page on disk may load scripts, but not read files."""
    text = json.dumps(values, separators=(",", ":"), allow_nan=False)  # ASCII
    (out / "data" / f"{name}.js").write_text(f'forget512.take("{name}",{text});\n', encoding="ascii")
