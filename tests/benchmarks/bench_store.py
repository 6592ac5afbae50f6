"""How long a large store on disk takes to be listed, and how much memory 1,024 large records take to be scored.

    python tests/benchmarks/bench_store.py [--banks 196] [--runs 512] [--examples 5000] [--folder /tmp]

Made-up records in real files, written just before, so the kernel has them in memory. Status 1: listing 100,000 records
took more than 5 s. Each measurement is a process of its own; memory is the kernel's high-water mark (Linux, macOS).
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
LIMIT = 5.0  # seconds, for 100,000 records


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--banks", type=int, default=196)
    parser.add_argument("--runs", type=int, default=512)
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--folder", type=Path, help="for the records, about 1 GB [default: a temporary one]")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)  # what the processes are started with
    options = parser.parse_args()
    if options.measure:
        return {"many": measure_many, "large": measure_large}[options.measure[0]](*map(Path, options.measure[1:]))

    from support.synthetic import describe, fill

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        many, large = Path(folder) / "many", Path(folder) / "large"
        small = describe(examples=4)
        small["probe_targets"] = {part: classes[:4] for part, classes in small["probe_targets"].items()}
        fill(many, small, {f"finetune-{number}": (0.3, 0.9) for number in range(options.banks - 1)}, options.runs)
        status = measure("many", many)
        folders = fill(large, describe(options.examples), {"finetune": (0.3, 0.9)}, options.runs)
        measure("large", *folders.values())
    return status


def measure(*what: Any) -> int:
    return subprocess.run([sys.executable, __file__, "--measure", *map(str, what)], cwd=ROOT).returncode


def measure_many(root: Path) -> int:
    from forget512.harness.results.contents import find_contents
    from forget512.harness.store.backends.folder import Folder
    from forget512.harness.store.bank import StoredBank
    from forget512.harness.store.benchmarks import choose_benchmark
    from forget512.harness.store.listing import list_banks, settings_tried
    from forget512.harness.store.status import status

    store = Folder(root)
    benchmark = choose_benchmark(store)
    banks = list_banks(store)
    records = sum(len(bank.finished) for bank in banks)
    print(f"{records:,} records in {len(banks)} banks:")
    seconds = timed("listed with their sizes", lambda: list(store.list("banks")))
    timed("status", lambda: status(store))
    timed("settings tried (each board)", lambda: settings_tried(store, benchmark.fingerprint))
    timed("contents (report, figures)", lambda: find_contents(store))
    timed("a bank found and opened", lambda: StoredBank(list_banks(store)[0], benchmark))
    return int(seconds > LIMIT * max(records, 100_000) / 100_000)


def timed(what: str, do: Callable[[], Any]) -> float:
    began = time.perf_counter()
    do()
    seconds = time.perf_counter() - began
    print(f"  {what:<28} {seconds:6.2f} s", flush=True)
    return seconds


def measure_large(retrained: Path, unlearned: Path) -> int:
    from forget512.harness.exchange.arrays import read_side
    from forget512.harness.views.array_reports import score_report
    from forget512.harness.workflows.scoring_arrays import score_arrays

    sizes = [path.stat().st_size for folder in (retrained, unlearned) for path in folder.glob("*.safetensors")]
    print(f"{len(sizes):,} records of {sum(sizes) / len(sizes) / 1e3:.0f} kB, {sum(sizes) / 1e6:.0f} MB in all:")
    before = peak()
    sides = []
    timed("both banks opened", lambda: sides.extend(read_side(path, "--x") for path in (retrained, unlearned)))
    held = sum(values.nbytes for side in sides for values in vars(side.columns).values() if values is not None)
    opened = peak()
    sides.clear()
    timed("opened again and scored", lambda: score_report(score_arrays(retrained, unlearned), True, False))
    print(f"  confidences and readings     {held / 1e6:6.0f} MB")
    print(f"  peak memory, imports alone   {before:6.0f} MB")
    print(f"  peak memory, opened          {opened:6.0f} MB")
    print(f"  peak memory, scored          {peak():6.0f} MB")
    return 0


def peak() -> float:
    value = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return value / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    sys.exit(main())
