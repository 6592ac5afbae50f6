"""Commands that only read, on a small store: what each of them imports, and how long its imports take."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support.commands import ROOT
from support.synthetic import describe, fill

CANDIDATES = {"finetune": (1.0, 0.5), "forget_remember": (0.1, 0.9)}  # shift and spread of their confidences
RUNS, EXAMPLES = 8, 12
COMMANDS = {  # by name
    "--help": "--help",
    "evaluate --help": "evaluate --help",
    "algorithms": "algorithms",
    "score": "score --retrained {retrain} --unlearned {finetune} --per-example",
    "compare": "compare --retrained {retrain} {finetune} {forget_remember}",
    "leaderboard": "leaderboard --store {folder}/store",
    "report": "report --store {folder}/store --out {folder}/report",
    "figures": "figures --store {folder}/store --out {folder}/figures",
    "status": "status --store {folder}/store",
    "verify": "verify {folder}/finetune.bundle",
    "verify-store": "verify-store --store {folder}/store",
    "prune": "prune --yes --store {folder}/pruned",
}

# Runs a command as `forget512` does. Time counts while an import statement is executed that no other one contains.
PROGRAM = """
import builtins, json, sys, time
inside, seconds, plain = 0, 0.0, builtins.__import__

def timed(*arguments, **named):
    global inside, seconds
    start, inside = time.process_time(), inside + 1
    try:
        return plain(*arguments, **named)
    finally:
        inside -= 1
        seconds += 0.0 if inside else time.process_time() - start

seen = sys.argv.pop()
builtins.__import__ = timed
try:
    from forget512.__main__ import main
    main()
finally:
    packages = sorted({name.partition(".")[0] for name in sys.modules})
    with open(seen, "w") as file:
        json.dump({"packages": packages, "seconds": seconds}, file)
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended. packages: what it had imported by then. seconds: of CPU time for its imports."""

    status: int
    output: str
    packages: list[str]
    seconds: float


class ReadingCommands:
    """A small store and a bundle in a folder, and the commands that read them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.banks = fill(folder / "store", describe(EXAMPLES), CANDIDATES, RUNS)
        shutil.copytree(folder / "store", folder / "pruned")
        made = self._run("export finetune {folder}/finetune.bundle --store {folder}/store")
        assert made.status == 0, made.output

    def run(self, name: str) -> Ended:
        """Run one of COMMANDS in a process of its own."""
        return self._run(COMMANDS[name])

    def _run(self, command: str) -> Ended:
        seen = self.folder / "seen.json"
        arguments = [word.format(folder=self.folder, **self.banks) for word in command.split()]
        code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{PROGRAM}"
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, *arguments, str(seen)],
            capture_output=True,
            text=True,
            cwd=self.folder,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
        return Ended(done.returncode, done.stdout + done.stderr, **json.loads(seen.read_text()))
