"""Lists a benchmark's banks from file names; loads one bank at a time."""

from dataclasses import dataclass, field

from forget512.harness.candidates.algorithm import RETRAIN
from forget512.harness.errors import UserError
from forget512.harness.results.labels import label, usual_runs
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.bank import StoredBank
from forget512.harness.store.benchmarks import StoredBenchmark, choose_benchmark
from forget512.harness.store.listing import ListedBank, identified, list_banks
from forget512.harness.store.reference import choose_reference


@dataclass(frozen=True, eq=False)
class Contents:
    """One benchmark of a store.

    others: further reference banks, which are not used. damaged: a line for each record that could not be read so far.
    """

    store: Store
    benchmark: StoredBenchmark
    reference: ListedBank
    candidates: tuple[ListedBank, ...]
    others: tuple[ListedBank, ...]
    damaged: list[str] = field(default_factory=list)

    def read(self, bank: ListedBank) -> StoredBank:
        """Read all runs of a bank. Damaged ones are not counted, but listed in `damaged`."""
        found = StoredBank(bank, self.benchmark)
        lines = [f"{line}; `verify-store --set-aside` moves it aside" for line in found.damaged]
        self.damaged.extend(line for line in lines if line not in self.damaged)
        found.name = bank.name
        return found


def find_contents(store: Store, benchmark: str | None = None) -> Contents:
    """Find a benchmark of a store by the first digits of its fingerprint; None: the only one.

    Raises:
        UserError: none or several match, or it has no reference bank.
    """
    found = choose_benchmark(store, benchmark)
    banks, _ = identified(list_banks(store, found.fingerprint))  # `leaderboard` and `verify-store` name the others
    label(banks)
    reference = choose_reference(banks, usual_runs(banks))
    if reference is None:
        raise UserError(
            f"--store {store} has no retrained runs of benchmark {found.fingerprint[:12]}: run `evaluate` or `retrain`."
        )
    candidates = tuple(b for b in banks if b.identity["algorithm"] != RETRAIN)
    others = tuple(b for b in banks if b.identity["algorithm"] == RETRAIN and b is not reference)
    return Contents(store, found, reference, candidates, others)
