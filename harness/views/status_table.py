"""Formats the table of `status`, printed once or updated while the store fills."""

import time
from collections.abc import Iterable, Iterator

from rich import box
from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from forget512.harness.store.status import BankStatus, BenchmarkStatus
from forget512.harness.views.console import SILENT_SECONDS, duration
from forget512.harness.workflows.watching import Seen


def show_status(
    benchmarks: Iterable[BenchmarkStatus], runs: int, where: str, seen: Seen | None = None
) -> RenderableType:
    """Format one table per benchmark, with failures below it. seen: adds the speed at which banks grow."""
    parts: list[RenderableType] = []
    size = 0
    for benchmark in benchmarks:
        heading = Text(f"{benchmark.name}, {benchmark.model}, benchmark {benchmark.fingerprint}", style="bold")
        table = Table(box=box.SIMPLE_HEAD)
        for name in ("bank", "runs", "failed", "size", *(("runs/hour", "left") if seen else ())):
            table.add_column(name, justify="left" if name == "bank" else "right")
        notes = []
        for bank in benchmark.banks:
            size += bank.size
            growth = _growth(bank, runs, seen) if seen else ()
            table.add_row(escape(bank.bank), _finished(bank, runs), str(bank.failed or ""), decimal(bank.size), *growth)
            notes += [Text(f"{bank.bank}: {count} failed: {reason}") for reason, count in bank.failures.items()]
        parts += [heading, table, *notes]
    if not parts:
        return Text(f"{where} holds no runs yet.")
    return Group(*parts, Text(f"{where}: {decimal(size)} in records."))


def _finished(bank: BankStatus, runs: int) -> str:
    return f"{bank.finished} complete" if bank.finished >= runs else f"{bank.finished} of {runs}"


def _growth(bank: BankStatus, runs: int, seen: Seen) -> tuple[str, str]:
    """Format runs an hour and the time left; empty if the bank did not grow."""
    pace, left = seen.paces.get((bank.benchmark, bank.bank)), seen.seconds_left(bank, runs)
    return f"{pace * 3600:.0f}" if pace else "", duration(left) if left else ""


def show_watched(looks: Iterator[Seen], runs: int, where: str, target: Console) -> None:
    """Update the table at each reading; without a terminal, print changes from time to time."""
    if target.is_terminal:
        with Live(console=target, auto_refresh=False) as live:
            for seen in looks:
                table = show_status(seen.benchmarks, runs, where, seen)
                live.update(Group(table, *_unavailable(seen, where)), refresh=True)
        return
    seen = next(looks)
    target.print(show_status(seen.benchmarks, runs, where))
    printed, last, why = seen.banks, time.monotonic(), ""
    for seen in looks:
        if seen.unavailable != why:
            target.print(*_unavailable(seen, where) or [Text(f"{where} is readable again.")])
            why = seen.unavailable
        changed = [bank for key, bank in seen.banks.items() if bank != printed.get(key)]
        if changed and time.monotonic() - last >= SILENT_SECONDS:
            for bank in changed:
                target.print(Text(_growth_line(bank, runs, seen)))
            printed, last = seen.banks, time.monotonic()


def _unavailable(seen: Seen, where: str) -> list[Text]:
    return [Text(f"{where} cannot be read now: {seen.unavailable}. Retrying.")] if seen.unavailable else []


def _growth_line(bank: BankStatus, runs: int, seen: Seen) -> str:
    pace, left = _growth(bank, runs, seen)
    failed = f"{bank.failed} failed" if bank.failed else ""
    words = (_finished(bank, runs), failed, pace and f"{pace} runs/hour", left and f"about {left} left")
    return f"{bank.benchmark}/{bank.bank}: {', '.join(filter(None, words))}"
