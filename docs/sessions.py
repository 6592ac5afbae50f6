#!/usr/bin/env python3
"""Runs the commands that the pages show, and writes or checks what they print.

    python docs/sessions.py            # write the outputs anew
    python docs/sessions.py --check    # fail where a page shows something else
    python docs/sessions.py --check docs/quick-start.md

A page's `console` blocks are one session: their lines that begin with "$ " are executed in order, in one new folder.
A `python`, `toml` or `text` block whose first line is a comment with a file's name (`# my_idea.py`) becomes that file
first. A line "…" stands for any lines. Numbers and hashes differ between machines, so a check compares what is left.
"""

import difflib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 118
BLOCK = re.compile(r"^(?P<indent> *)```(?P<kind>\w+)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w./-]+\.\w+)\n")
PROGRESS = re.compile(r"^\S[^\n]* \d+/\d+[,;][^…]*?(?:left|time unknown)$\n", re.MULTILINE)
BY_SPEED = re.compile(r" !$|, more than the .* that the competition allowed")  # of a loaded machine
ANY = "…"
LONG, ALIKE = 10, 0.8


@dataclass(frozen=True)
class Block:
    """A fenced block of a page. lines: without fences and indentation. start, end: of the lines in the page."""

    kind: str
    indent: str
    lines: list[str]
    start: int
    end: int


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, from top to bottom."""
    for found in BLOCK.finditer(page):
        indent = found["indent"]
        lines = [line.removeprefix(indent) for line in found["text"].splitlines()]
        yield Block(found["kind"], indent, lines, found.start("text"), found.end("text"))


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Each command of a session's block, with the lines that it printed."""
    starts = [number for number, line in enumerate(block.lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(block.lines)], strict=True):
        yield block.lines[start], block.lines[start + 1 : end]


def execute(command: str, folder: Path) -> list[str]:
    """What a command prints in WIDTH columns, without its progress."""
    tools = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "CHECKOUT": str(ROOT),
        "COLUMNS": str(WIDTH),
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        ["bash", "-c", command.removeprefix("$ ")],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    printed = PROGRESS.sub("", done.stdout.replace(str(folder), "…").replace(str(ROOT), "$CHECKOUT"))
    lines = [line.rstrip() for line in printed.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def run_page(page: str) -> Iterator[tuple[Block, list[str]]]:
    """Run a page's session; yields each console block with its lines as they are now."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for block in blocks(page):
            if block.kind != "console":
                if name := FILE.match("\n".join([*block.lines, ""])):
                    (folder / name[1]).write_text("\n".join([*block.lines, ""]))
                continue
            lines = []
            for command, before in commands(block):
                printed = execute(command, folder)
                lines += [command, *(before if ANY in before and matches(before, printed) else printed)]
            yield block, lines


def matches(shown: list[str], printed: list[str]) -> bool:
    """Whether a page's lines fit what was printed, numbers aside; a line … stands for any lines.

    Where a table has notes, some depend on the numbers (a warning, a tie): of a long block, four lines in five must be
    the same.
    """
    shown, printed = ([mask(line) for line in lines if not line.startswith("! slower")] for lines in (shown, printed))
    if len(shown) > LONG and ANY not in shown:
        return difflib.SequenceMatcher(None, shown, printed, autojunk=False).ratio() >= ALIKE
    parts = [re.escape(line) if line != ANY else ".*" for line in shown]
    return re.fullmatch("\n".join(parts).replace("\n.*", "(\n.*)?"), "\n".join(printed), re.DOTALL) is not None


def mask(line: str) -> str:
    """A line without what differs between machines: numbers, hashes, marks of slowness, and the width of columns."""
    line = re.sub(r"\b[0-9a-f]*\d[0-9a-f]{6,}\b", "#", line)
    line = re.sub(r"(more than )?[-+]?\d[\d.,]*( ?%)?", "#", line)
    return BY_SPEED.sub("", re.sub(r"[\s─]+", " ", line).strip())


@click.command()
@click.option("--check", is_flag=True, help="write nothing, and fail where a page shows something else")
@click.argument("pages", nargs=-1, type=click.Path(exists=True, path_type=Path))
def main(check: bool, pages: tuple[Path, ...]) -> None:
    """Run the sessions of the pages; of all pages where none is named."""
    different = 0
    for path in pages or [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        page = path.read_text()
        new, copied = [], 0
        for block, lines in run_page(page):
            if check and not matches(block.lines, lines):
                different += 1
                print(
                    "\n".join(difflib.unified_diff(block.lines, lines, str(path), "what is printed now", lineterm=""))
                )
            new += [page[copied : block.start], *(f"{block.indent}{line}".rstrip() + "\n" for line in lines)]
            copied = block.end - len(block.indent)
        if new and not check:
            path.write_text("".join([*new, page[copied:]]))
        if new:
            print(f"{path}: {'checked' if check else 'written'}")
    if different:
        sys.exit(f"{different} blocks show something else: look at the differences, then run `make sessions`.")


if __name__ == "__main__":
    main()
