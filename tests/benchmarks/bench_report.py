"""Size, memory and opening time of a large report: python tests/benchmarks/bench_report.py [--candidates 50].

Synthetic records in a real store (about 0.15 GB a candidate without --reuse), of a few kinds of candidates.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from forget512.harness.benchmark.data.dataset import Dataset
from forget512.harness.results import stored_rows
from forget512.harness.results.contents import find_contents
from forget512.harness.store.backends.folder import Folder
from forget512.harness.views.html import page

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support.browser import open_browser
from support.synthetic import copy_runs, describe, fill, make_bank

KINDS = {"near": (0.3, 0.9), "far": (0.8, 0.7), "narrow": (0.0, 0.4)}  # shift and spread of the confidences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=50)
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=512)
    parser.add_argument("--images", type=Path, help=".npz whose first x_train (n, H, W, 3) are the thumbnails")
    parser.add_argument(
        "--reuse", action="store_true", help="examine one candidate of each kind, use it for the others"
    )
    parser.add_argument("--keep", type=Path, help="folder for the report [default: a temporary one]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder) / "store", options.keep or Path(folder) / "report"
        fill_large(root, options.candidates, options.examples, options.runs, options.reuse)
        if options.reuse:
            reuse()
        dataset = images(options.examples, options.images)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        size = page.write_page(find_contents(Folder(root)), out, dataset=dataset, command="bench_report.py")
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"{options.candidates} candidates, {options.examples} examples, {options.runs} v {options.runs} runs")
        if not options.reuse:
            print(f"written in {seconds:.0f} s, {seconds / options.candidates:.1f} s a candidate")
        print(f"peak memory {peak / 1024:.0f} MB ({before / 1024:.0f} MB before)")
        print(f"size {size / 1e6:.2f} MB, of which:")
        for what, pattern in (("plotly", "plotly.min.js"), ("candidates", "data/c*.js"), ("thumbnails", "thumbnails.*"),
                              ("pairs", "data/pairs.js"), ("page", "index.html")):  # fmt: skip
            print(f"  {what:<12} {sum(path.stat().st_size for path in out.glob(pattern)) / 1e6:.2f} MB")
        visit(out)


def fill_large(root: Path, candidates: int, examples: int, runs: int, only_first_run: bool) -> None:
    """A store with a reference and so many candidates."""
    description = describe(examples)
    first = fill(root, description, KINDS, runs)
    for number in range(len(KINDS), candidates):
        kind = list(KINDS)[number % len(KINDS)]
        copy_runs(first[kind], *make_bank(root, description, kind, number + 1), 1 if only_first_run else runs)


def reuse() -> None:
    """Sizes and opening times are as if every candidate were examined; seconds and memory are not."""
    make_row, make_values = stored_rows.stored_row, page.candidate_json
    rows, values, seconds = {}, {}, {}

    def row_once(bank, side, reference, partial):  # type: ignore[no-untyped-def]
        kind = bank.identity["algorithm"]
        if kind not in rows:
            start = time.perf_counter()
            rows[kind] = make_row(bank, side, reference, partial)
            seconds[kind] = time.perf_counter() - start
        row = dataclasses.replace(rows[kind].row, algorithm=bank.name)
        return dataclasses.replace(rows[kind], bank=bank, row=row)

    def values_once(candidate, side, reference):  # type: ignore[no-untyped-def]
        kind = candidate.bank.identity["algorithm"]
        if kind not in values:
            start = time.perf_counter()
            values[kind] = make_values(candidate, side, reference)
            print(f"one candidate examined in {seconds[kind] + time.perf_counter() - start:.0f} s")
        return values[kind]

    stored_rows.stored_row, page.candidate_json = row_once, values_once


def images(count: int, path: Path | None) -> Dataset:
    """Given ones, or noise as smooth as photographs about are."""
    if path:
        with np.load(path) as arrays:
            pictures = arrays["x_train"][:count]
    else:
        coarse = np.random.default_rng(0).integers(0, 256, (count, 12, 12, 3), dtype=np.uint8)
        scaled = [Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC) for image in coarse]
        pictures = np.stack([np.asarray(picture) for picture in scaled])
    labels = np.zeros(len(pictures), np.int64)
    return Dataset("synthetic", pictures, labels, pictures[:2], labels[:2])


def visit(out: Path) -> None:
    """Seconds until each view stands, in a headless Chromium."""
    waits = {
        "": "#board-table tbody tr",
        "#candidate/c001": "#candidate-body figure:nth-child(6) .main-svg",
        "#examples/c001": "#examples-detail .main-svg",
        "#versus/c000/c001": "#versus-body .main-svg",
    }
    with open_browser() as browser:
        for where, selector in waits.items():
            tab = browser.new_page()
            start = time.perf_counter()
            tab.goto(f"{(out / 'index.html').resolve().as_uri()}{where}")
            tab.wait_for_selector(selector)
            print(f"opens at {where or 'the board':<18} {time.perf_counter() - start:.2f} s")
            tab.close()


if __name__ == "__main__":
    main()
