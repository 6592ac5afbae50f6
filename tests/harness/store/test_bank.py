"""Banks: at most one finished record a seed, by a key that names all that matters."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from forget512.harness.candidates.built_in import built_in
from forget512.harness.store.backends.folder import Folder
from forget512.harness.store.bank import Bank, StoredBank
from forget512.harness.store.benchmarks import parse_benchmark
from forget512.harness.store.layout import benchmark_name, record_name
from forget512.harness.store.listing import list_bank
from forget512.harness.store.record import failed
from forget512.scoring import logit_scaled_confidence

ORIGINAL = "0" * 64


@pytest.fixture
def finetune():
    return built_in("finetune", "tiny")


@pytest.fixture
def retrain():
    return built_in("retrain", "tiny")


@pytest.fixture
def bank(store, benchmark, finetune) -> Bank:
    return Bank(store, benchmark, finetune, ORIGINAL)


def reopened(bank: Bank) -> Bank:
    """As another command would see it."""
    other = Bank(Folder(bank.store.root), bank.benchmark, bank.algorithm, ORIGINAL)
    other.refresh()
    return other


def file_of(bank: Bank, seed: int):
    return bank.store.root / record_name(bank.folder, seed)


# --- keeping and reading ---


def test_a_new_bank_is_empty(bank):
    bank.refresh()
    assert bank.seeds(10) == [] and bank.median_seconds() is None and not bank.finished(0)


def test_what_was_added_is_there_at_once_and_for_the_next_command(bank, make_record):
    for seed in (4, 0, 2):
        bank.add(make_record(bank, seed).encode())
    for found in (bank, reopened(bank)):
        assert found.seeds(512) == [0, 2, 4] and found.seeds(4) == [0, 2]
        assert found.failures == [] and found.damaged == []


def test_columns_are_the_readings_of_the_seeds_in_the_order_asked(bank, make_record):
    records = {
        seed: make_record(bank, seed, retain_accuracy=seed / 10, test_accuracy=seed / 20, forget_accuracy=seed / 30)
        for seed in range(4)
    }
    for record in records.values():
        bank.add(dataclasses.replace(record, seconds=float(record.seed)).encode())
    columns = reopened(bank).columns([3, 1, 2])
    targets = bank.benchmark.forget_targets
    assert columns.confidences.shape == (3, 6) and columns.confidences.dtype == np.float64
    for row, seed in enumerate([3, 1, 2]):
        expected = logit_scaled_confidence(records[seed].forget_logits, targets)
        assert np.array_equal(columns.confidences[row], expected)
    assert columns.retain_accuracy.tolist() == [0.3, 0.1, 0.2]
    assert columns.test_accuracy.tolist() == [0.15, 0.05, 0.1]
    assert columns.forget_accuracy.tolist() == [0.1, 1 / 30, 2 / 30]


def test_refresh_sees_what_another_driver_added(bank, make_record):
    other = reopened(bank)
    other.add(make_record(bank, 7).encode())
    assert bank.seeds(10) == []
    assert bank.finished(7) and not bank.finished(8)
    other.add(make_record(bank, 9).encode())
    bank.refresh()
    assert bank.seeds(10) == [7, 9]


def test_the_first_record_of_a_seed_stays(bank, make_record):
    first = make_record(bank, 0, test_accuracy=0.25)
    second = dataclasses.replace(first, test_accuracy=0.75)
    assert bank.add(first.encode()).test_accuracy == 0.25
    assert bank.add(second.encode()).test_accuracy == 0.25
    assert reopened(bank).add(second.encode()).test_accuracy == 0.25
    for found in (bank, reopened(bank)):
        assert found.columns([0]).test_accuracy.tolist() == [0.25]
    assert [name for name, _ in bank.store.list(bank.folder) if name.endswith(".safetensors")] == [
        f"{bank.folder}/00000.finished.safetensors"
    ]


def test_a_bank_says_what_it_is(bank, make_record):
    bank.add(make_record(bank, 0).encode())
    assert json.loads(bank.store.get(f"{bank.folder}/bank.json")) == bank.identity
    description = json.loads(bank.store.get(benchmark_name(bank.benchmark.fingerprint)))
    assert description == bank.benchmark.description


# --- failures ---


def test_failed_attempts_are_kept_apart_and_counted(bank, make_record):
    for attempt in (1, 2):
        record = make_record(bank, 3, attempt=attempt)
        bank.add(failed(record, f"error {attempt}", "trace", "output").encode())
    for found in (bank, reopened(bank)):
        assert found.seeds(10) == [] and found.attempts(3) == 2 and found.attempts(0) == 0
        assert [(f.seed, f.attempt, f.error, f.traceback, f.output) for f in found.failures] == [
            (3, 1, "error 1", "trace", "output"),
            (3, 2, "error 2", "trace", "output"),
        ]


def test_a_seed_that_failed_may_finish_later(bank, make_record):
    bank.add(failed(make_record(bank, 3), "error").encode())
    bank.add(make_record(bank, 3, attempt=2).encode())
    found = reopened(bank)
    assert found.seeds(10) == [3] and found.attempts(3) == 1


def test_refreshing_twice_counts_nothing_twice(bank, make_record):
    bank.add(failed(make_record(bank, 3), "error").encode())
    bank.add(make_record(bank, 0).encode())
    bank.refresh()
    bank.refresh()
    assert len(bank.failures) == 1 and bank.seeds(5) == [0]


# --- damage ---


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"", lambda data: data.replace(b"0.6", b"0.9")]
)
def test_a_damaged_record_is_set_aside_and_named_and_its_seed_is_missing_again(bank, make_record, damage):
    for seed in range(3):
        bank.add(make_record(bank, seed).encode())
    path = file_of(bank, 1)
    broken = damage(path.read_bytes())
    path.write_bytes(broken)
    found = reopened(bank)
    assert found.seeds(5) == [0, 2] and not path.exists()
    (line,) = found.damaged
    assert "00001.finished.safetensors" in line and "\n" not in line
    aside = next(name for name, _ in found.store.list("damaged"))
    assert aside in line and found.store.get(aside) == broken
    found.add(make_record(bank, 1).encode())
    assert reopened(bank).seeds(5) == [0, 1, 2] and reopened(bank).damaged == []


def test_a_record_of_another_bank_does_not_count(bank, make_record):
    bank.add(make_record(bank, 0).encode())
    file_of(bank, 1).write_bytes(make_record("another key", 1).encode())
    found = reopened(bank)
    assert found.seeds(5) == [0]
    assert "another bank" in found.damaged[0]


def test_a_record_under_another_seeds_name_does_not_count(bank, make_record):
    """Copied by hand from seed 0: one run must not stand in for two, nor in the way of the second."""
    bank.add(make_record(bank, 0).encode())
    file_of(bank, 1).write_bytes(file_of(bank, 0).read_bytes())
    found = reopened(bank)
    assert found.seeds(5) == [0]
    found.add(make_record(bank, 1).encode())
    assert found.seeds(5) == [0, 1] and reopened(bank).seeds(5) == [0, 1]


def test_a_record_of_another_number_of_examples_does_not_count(bank, make_record):
    bank.add(make_record(bank, 0).encode())
    file_of(bank, 1).write_bytes(make_record(bank.key, 1, examples=4).encode())
    found = reopened(bank)
    assert found.seeds(5) == [0] and "logits of 4 examples" in found.damaged[0] and not file_of(bank, 1).exists()


@pytest.mark.parametrize("other", [b"half a record", None, 3])
def test_a_bank_that_is_read_counts_what_one_that_is_written_counts_and_leaves_damage_alone(bank, make_record, other):
    for seed in range(3):
        bank.add(make_record(bank, seed).encode())
    bank.add(failed(make_record(bank, 4), "error").encode())
    wrong = other if isinstance(other, bytes) else make_record("key" if other is None else bank, 3).encode()
    file_of(bank, 1).write_bytes(wrong)
    read = StoredBank(list_bank(bank.store, bank.folder), parse_benchmark(bank.benchmark.description))
    assert file_of(bank, 1).read_bytes() == wrong and "00001" in read.damaged[0]
    written = reopened(bank)
    assert read.seeds(5) == written.seeds(5) == [0, 2] and read.failures == written.failures
    assert np.array_equal(read.columns([0, 2]).confidences, written.columns([0, 2]).confidences)
    assert (read.key, read.folder, read.identity) == (bank.key, bank.folder, bank.identity)


def test_a_banks_folder_is_listed_once(bank, make_record, monkeypatch):
    bank.add(make_record(bank, 0).encode())
    listed, of_store = [], bank.store.list
    monkeypatch.setattr(bank.store, "list", lambda prefix: listed.append(prefix) or of_store(prefix))
    bank.refresh()
    StoredBank(list_bank(bank.store, bank.folder), parse_benchmark(bank.benchmark.description))
    assert listed == [bank.folder] * 2


def test_a_damaged_record_that_appeared_meanwhile_makes_way_for_a_new_run(bank, make_record):
    bank.add(make_record(bank, 0).encode())
    file_of(bank, 1).write_bytes(b"half a record of another driver")
    assert not bank.finished(1)
    bank.add(make_record(bank, 1, test_accuracy=0.5).encode())
    assert bank.seeds(5) == [0, 1] and reopened(bank).columns([1]).test_accuracy.tolist() == [0.5]


def test_other_files_in_the_folder_do_not_matter(bank, make_record):
    bank.add(make_record(bank, 0).encode())
    for name in ("notes.txt", "1.safetensors", "00001.finished.safetensors.bak"):
        (bank.store.root / bank.folder / name).write_text("hello")
    found = reopened(bank)
    assert found.seeds(5) == [0] and found.damaged == []


# --- identity ---


def test_the_same_ingredients_give_the_same_key(bank, make_tiny, store):
    assert Bank(store, make_tiny(), built_in("finetune", "tiny"), ORIGINAL).key == bank.key


def test_each_ingredient_changes_the_key(bank, store, benchmark, make_tiny, finetune):
    other_lr = dataclasses.replace(finetune, hyper_parameters={**finetune.hyper_parameters, "lr": 0.5})
    others = [
        Bank(store, make_tiny(epochs=3), finetune, ORIGINAL),
        Bank(store, benchmark, other_lr, ORIGINAL),
        Bank(store, benchmark, dataclasses.replace(finetune, source="f" * 64), ORIGINAL),
        Bank(store, benchmark, dataclasses.replace(finetune, method="other"), ORIGINAL),
        Bank(store, benchmark, finetune, "1" * 64),
    ]
    assert len({bank.key, *(other.key for other in others)}) == 6
    assert len({bank.folder, *(other.folder for other in others)}) == 6


def test_retraining_does_not_depend_on_the_original_model(store, benchmark, retrain):
    assert len({Bank(store, benchmark, retrain, original).key for original in (None, ORIGINAL, "1" * 64)}) == 1


# --- time ---


def test_the_seconds_of_a_run_are_the_median(bank, make_record):
    for seed, seconds in enumerate([1.0, 2.0, 9.0]):
        bank.add(make_record(bank, seed, seconds=seconds).encode())
    assert bank.median_seconds() == 2.0


def test_runs_that_had_their_device_alone_tell_the_time_if_there_are_some(bank, make_record):
    for seed, (seconds, share) in enumerate([(8.0, 0.5), (9.0, 0.5), (10.0, 0.25)]):
        bank.add(make_record(bank, seed, seconds=seconds, share=share).encode())
    assert bank.median_seconds() == 9.0
    bank.add(make_record(bank, 3, seconds=2.0, share=1.0).encode())
    assert bank.median_seconds() == 2.0
