"""One benchmark of a store: its reference, its candidates, and each bank read when it is needed."""

from dataclasses import dataclass, field

from forget512.harness.errors import UserError
from forget512.harness.results.labels import label, usual_runs
from forget512.harness.store.benchmarks import StoredBenchmark, read_benchmark, stored_benchmarks
from forget512.harness.store.files import Store
from forget512.harness.store.listing import ListedBank, _list
from forget512.harness.store.record import Damaged
from forget512.harness.store.reference import choose_reference
from forget512.harness.store.stored_bank import RETRAIN, StoredBank, bank_folders


@dataclass(frozen=True, eq=False)
class Contents:
    """others: reference banks beside the one that is scored against, which are not used. damaged: a line for each
    record that could not be read so far."""

    store: Store
    benchmark: StoredBenchmark
    reference: ListedBank
    candidates: tuple[ListedBank, ...]
    others: tuple[ListedBank, ...]
    damaged: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Data set, network, forget set, recipe."""
        identity = self.benchmark.identity
        forget, retain = (identity["split"][part]["examples"] for part in ("forget", "retain"))
        return (
            f"{self.benchmark.name}, {identity['model']['name']}, {forget} of {forget + retain} forgotten, "
            f"{identity['recipe']['epochs']} epochs, {identity['precision']}"
        )

    def read(self, bank: ListedBank) -> StoredBank:
        """All runs of a bank; what is damaged of them is not counted, and listed in `damaged`.

        Raises:
            UserError: the folder does not say what it is.
        """
        try:
            found = StoredBank(self.store, bank.folder, self.benchmark)
        except Damaged as error:
            raise UserError(f"{error}: `verify-store --set-aside` moves it out of the way.") from error
        lines = [f"{line}; `verify-store --set-aside` moves it out of the way" for line in found.damaged]
        self.damaged.extend(line for line in lines if line not in self.damaged)
        found.name = bank.name
        return found


def find_contents(store: Store, benchmark: str | None = None) -> Contents:
    """A benchmark of a store by the first digits of its fingerprint; None: the only one.

    Raises:
        UserError: none or several fit, or it has no reference bank.
    """
    known = stored_benchmarks(store)
    fitting = [short for short in known if short.startswith((benchmark or "")[:12])]
    if not known:
        raise UserError(f"--store {store} holds no runs yet: `evaluate` fills it.")
    if not fitting:
        raise UserError(f"--store {store} has no benchmark {benchmark}: it holds {_listed(store, known)}.")
    if len(fitting) > 1:
        raise UserError(
            f"--store {store} holds several benchmarks: choose one by --benchmark ({_listed(store, fitting)})."
        )
    try:
        found = read_benchmark(store, fitting[0])
    except Damaged as error:
        raise UserError(f"--store {store}: {error}.") from error
    banks = [bank for folder in bank_folders(store, fitting[0]) if (bank := _list(store, folder))]
    label(banks)
    reference = choose_reference(banks, usual_runs(banks))
    if reference is None:
        raise UserError(
            f"--store {store} has no retrained runs of benchmark {fitting[0]}: `evaluate` or `retrain` does them."
        )
    candidates = tuple(b for b in banks if b.identity["algorithm"] != RETRAIN)
    others = tuple(b for b in banks if b.identity["algorithm"] == RETRAIN and b is not reference)
    return Contents(store, found, reference, candidates, others)


def _listed(store: Store, shorts: list[str]) -> str:
    names = []
    for short in shorts:
        try:
            names.append(f"{short} ({read_benchmark(store, short).name})")
        except Damaged:
            names.append(short)
    return "; ".join(names)
