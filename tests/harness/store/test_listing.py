"""Banks and benchmarks as names in a store show them."""

import pytest

from forget512.harness.errors import UserError
from forget512.harness.store.backends.folder import Folder
from forget512.harness.store.benchmarks import choose_benchmark, stored_benchmarks
from forget512.harness.store.layout import bank_folder, benchmark_name, confidences_name, record_name
from forget512.harness.store.listing import identified, list_bank, list_banks, settings_tried
from support.synthetic import describe, fill

MINE = bank_folder({"benchmark": "0" * 64, "algorithm": "mine"})


def test_names_alone_tell_which_runs_finished_and_which_failed(store):
    attempts = [(0, None), (1, 1), (1, None), (3, 1), (3, 2), (3, 10)]
    for seed, attempt in attempts:
        store.put_if_absent(record_name(MINE, seed, attempt), b"not a record: nobody opens it")
    store.put_if_absent("banks/notes.txt", b"of no bank")
    (bank,) = list_banks(store)
    assert (bank.folder, bank.name, bank.seeds, bank.failed, bank.tried) == (MINE, "mine", (0, 1), 1, 4)
    assert bank.last_failures == {3: record_name(MINE, 3, 10)}
    assert bank.size == 6 * len(b"not a record: nobody opens it")


def test_imported_confidences_count_as_the_first_seeds(store):
    store.put_if_absent(confidences_name(MINE, 3), b"")
    store.put_if_absent(record_name(MINE, 7), b"")
    assert list_bank(store, MINE).seeds == (0, 1, 2, 7)


def test_a_folder_without_files_is_a_bank_without_runs(store):
    bank = list_bank(store, MINE)
    assert (bank.seeds, bank.failed, bank.tried, bank.origins) == ((), 0, 0, [])


def test_a_bank_under_another_benchmark_is_not_taken_for_its_own(tmp_path):
    description = describe(2)
    folder = fill(tmp_path, description, {"near": (0, 1)}, 2)["near"]
    (tmp_path / "banks" / ("0" * 12)).mkdir()
    folder.rename(tmp_path / "banks" / ("0" * 12) / folder.name)
    banks, (wrong,) = identified(list_banks(Folder(tmp_path)))
    assert [bank.name for bank in banks] == ["retrain"] and wrong.endswith("not this folder")
    assert settings_tried(Folder(tmp_path), description["fingerprint"]) == {("retrain", "0" * 64): 1}


def test_a_benchmark_is_chosen_by_how_its_fingerprint_begins(tmp_path):
    one, other = describe(2), describe(2, epochs=3)
    store = Folder(tmp_path)
    with pytest.raises(UserError, match="holds no runs yet"):
        choose_benchmark(store)
    fill(tmp_path, one, {}, 2)
    assert choose_benchmark(store).fingerprint == one["fingerprint"]
    fill(tmp_path, other, {}, 2)
    assert len(stored_benchmarks(store)) == 2
    for prefix in (other["fingerprint"], other["fingerprint"][:5]):
        assert choose_benchmark(store, prefix).fingerprint == other["fingerprint"]
    with pytest.raises(UserError, match=rf"several .* \(.*{one['fingerprint'][:12]} \(synthetic\)"):
        choose_benchmark(store)
    with pytest.raises(UserError, match="has no benchmark xyz: it holds"):
        choose_benchmark(store, "xyz")
    store.remove(benchmark_name(one["fingerprint"]))
    with pytest.raises(UserError, match="is missing"):
        choose_benchmark(store, one["fingerprint"])
