"""What each reading command imports, and the CPU seconds of its imports: python tests/benchmarks/bench_imports.py.

The goal is at most 1.5 s, without torch and Ray. The time of the commands' own work is not counted.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support.reading import COMMANDS, ReadingCommands

HEAVY = ("ray", "torch", "torchvision", "sklearn", "scipy", "numba", "matplotlib", "plotly", "pandas", "numpy", "rich")
REPEATS = 3  # the least of these counts: other processes only add time


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        reading = ReadingCommands(Path(folder))
        for name in COMMANDS:
            ended = [reading.run(name) for _ in range(REPEATS)]
            loaded = ", ".join(package for package in HEAVY if package in ended[0].packages)
            print(f"{name:<16} {min(each.seconds for each in ended):5.2f} s  {loaded}", flush=True)


if __name__ == "__main__":
    main()
