"""Retry, verify and prune: what a store's owner does to it by hand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from safetensors.torch import load, save

from forget512.harness.candidates.built_in import built_in
from forget512.harness.candidates.files import load_candidates
from forget512.harness.errors import UserError
from forget512.harness.hashing import sha256
from forget512.harness.scheduling.compute import Compute
from forget512.harness.store.backends.folder import Folder
from forget512.harness.store.bank import Bank
from forget512.harness.store.check import verify
from forget512.harness.store.originals import keep_examination, keep_original
from forget512.harness.store.prune import prunable, prune
from forget512.harness.store.record import failed
from forget512.harness.workflows.examination import Examination
from forget512.harness.workflows.retry import Retry

HEAD = "def unlearning(net, retain, forget, validation"


@pytest.fixture
def retrain(benchmark):
    return built_in("retrain", benchmark.dataset.name, benchmark.recipe.hyper_parameters)


@pytest.fixture
def fill(store, benchmark, make_record, original, retrain):
    """fill(algorithm, failed=(2,), seeds=3): its bank, with a record a seed, some of them failures."""
    digest = sha256(keep_original(store, benchmark, retrain, original))

    def do(algorithm, failing=(), seeds=3) -> Bank:
        bank = Bank(store, benchmark, algorithm, digest)
        for seed in range(seeds):
            record = make_record(bank, seed)
            bank.add((failed(record, "a reason") if seed in failing else record).encode())
        return bank

    return do


def write(path: Path, text: str):
    path.write_text(text)
    return load_candidates([path])[0]


# --- verify ---


def problems(store: Folder) -> dict[str, str]:
    return {checked.name: checked.problem for checked in verify(store) if checked.problem}


@pytest.fixture
def filled(store, fill, retrain, benchmark, tmp_path, original, make_record) -> Folder:
    """Reference, a method of ours with a failure, and an examined bank without records."""
    fill(retrain)
    fill(built_in("finetune", "digits"), failing=(1,))
    keep_examination(store, benchmark.fingerprint, make_record(sha256(original)).encode())
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    for seed in range(2):
        (checkpoints / f"{seed}.safetensors").write_bytes(save(load(original)))
    examination = Examination(benchmark, checkpoints, "outside", store)
    provenance = {"checkpoints": [{"sha256": digest} for digest in examination.digests]}
    store.put_if_absent(f"{examination.bank.folder}/examined.json", json.dumps(provenance).encode())
    store.put_if_absent(f"{examination.bank.folder}/bank.json", json.dumps(examination.bank.identity).encode())
    return store


def test_a_sound_store_has_no_problem(filled):
    assert problems(filled) == {}
    assert sum(1 for _ in verify(filled)) == 16  # records 6, banks 3, sources 2, examined, benchmark, originals 3


def test_a_flipped_bit_is_found_in_every_file(filled):
    files = [path for part in ("banks", "benchmarks", "originals") for path in (filled.root / part).rglob("*.*")]
    files = [path for path in files if path.is_file()]
    assert len(files) == 16
    for path in files:
        sound = path.read_bytes()
        for place in (len(sound) // 3, len(sound) - 10):
            damaged = bytearray(sound)
            damaged[place] ^= 1
            path.write_bytes(bytes(damaged))
            name = str(path.relative_to(filled.root))
            assert name in problems(filled), (name, place)
        path.write_bytes(sound)
    assert problems(filled) == {}


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"identity": 3}', b'{"sha256": 3}', b"[" * 100_000]
)
def test_a_file_with_something_else_in_it_is_a_problem_and_no_traceback(filled, data):
    for path in [path for path in filled.root.rglob("*.*") if path.is_file()]:
        sound = path.read_bytes()
        path.write_bytes(data)
        assert str(path.relative_to(filled.root)) in problems(filled)
        path.write_bytes(sound)


def test_a_damaged_bank_json_is_the_only_problem_of_its_bank(filled):
    for path in filled.root.glob("banks/*/*/bank.json"):
        sound = path.read_bytes()
        path.write_bytes(b"{")
        assert list(problems(filled)) == [str(path.relative_to(filled.root))]
        path.write_bytes(sound)


def test_a_record_in_another_records_place_is_found(filled, fill):
    one = next(filled.root.glob("banks/*/retrain-*/00000.*"))
    other = next(filled.root.glob("banks/*/finetune-*/00000.*"))
    other.write_bytes(one.read_bytes())
    (one.parent / "00009.finished.safetensors").write_bytes(one.read_bytes())
    found = problems(filled)
    assert len(found) == 2
    assert any("belongs to another bank" in text for text in found.values())
    assert any("it holds the record 00000.finished" in text for text in found.values())


def test_a_record_of_another_number_of_examples_is_found(filled, store, benchmark, retrain, make_record):
    bank = Bank(store, benchmark, retrain, None)
    filled.put_if_absent(f"{bank.folder}/00005.finished.safetensors", make_record(bank.key, 5, examples=4).encode())
    assert list(problems(filled).values()) == ["its logits have shape (4, 3), but the benchmark's have (6, 3)"]


def test_missing_descriptions_are_named(filled):
    next(filled.root.glob("banks/*/finetune-*/bank.json")).unlink()
    next(filled.root.glob("benchmarks/*")).unlink()
    next(filled.root.glob("originals/*.safetensors")).unlink()
    found = problems(filled)
    assert len(found) == 3 and sum("is missing" in text for text in found.values()) == 3


def test_a_candidate_in_syntax_that_this_python_does_not_know_is_not_called_damaged(filled, fill, tmp_path):
    folder = fill(write(tmp_path / "idea.py", f"{HEAD}): pass")).folder
    path = filled.root / folder / "source.json"
    path.write_text(path.read_text().replace("pass", "if 1 then 2"))
    (found,) = [checked for checked in verify(filled) if checked.problem]
    assert found.missing and found.problem.startswith("this version of Python cannot parse idea.py (")


# --- prune ---


def test_banks_of_changed_sources_are_pruned_and_nothing_else(store, fill, retrain, tmp_path):
    stale = dataclasses.replace(built_in("finetune", "digits"), source="0" * 64)
    gone = dataclasses.replace(stale, name="no_such", method="no_such")
    old_reference = dataclasses.replace(retrain, source="0" * 64)
    path = tmp_path / "idea.py"
    first = write(path, f"{HEAD}): pass")
    now = write(path, f"{HEAD}): return net")
    other = write(tmp_path / "other.py", f"{HEAD}): pass")
    kept = [fill(a).folder for a in (retrain, old_reference, built_in("finetune", "digits"), now, other)]
    removed = {fill(stale).folder, fill(gone).folder}
    old = fill(first).folder
    elsewhere = fill(dataclasses.replace(gone, name="outside", method="outside")).folder
    store.put_if_absent(f"{elsewhere}/examined.json", b"{}")
    originals = list(store.list("originals"))

    assert {each.bank.folder for each in prunable(store, [])} == removed
    found = prunable(store, [now])
    assert {each.bank.folder for each in found} == removed | {old}
    assert {len(each.bank.finished) for each in found} == {3}
    assert {each.bank.size for each in found if each.bank.folder == old} == {sum(size for _, size in store.list(old))}
    assert f"its file is {now.name} now" in [each.reason for each in found]

    prune(store, found)
    assert prunable(store, [now]) == [] and list(store.list("originals")) == originals
    assert {name.rpartition("/")[0] for name, _ in store.list("banks")} == {*kept, elsewhere}
    assert not any((store.root / folder).exists() for folder in (*removed, old))


def test_a_bank_whose_description_is_damaged_is_not_pruned(store, fill):
    folder = fill(dataclasses.replace(built_in("finetune", "digits"), source="0" * 64)).folder
    for text in ("", "[]", '{"algorithm": 3, "source": ""}'):
        (store.root / folder / "bank.json").write_text(text)
        assert prunable(store, []) == []


# --- retry ---


def test_failed_seeds_alone_are_run_again_on_actors(ray_session, store, fill, benchmark, tmp_path):
    candidate = write(tmp_path / "idea.py", f"{HEAD}, lr=0.1):\n    if lr == 0.2: raise ValueError('again')")
    ours = fill(built_in("finetune", benchmark.dataset.name), failing=(1,))
    theirs = fill(dataclasses.replace(candidate, hyper_parameters={"lr": 0.2}), failing=(0,))
    before = set(store.list(ours.folder))
    work = Retry(benchmark, store, [], [candidate])
    assert [bank.folder for bank in work.filled] == [theirs.folder]
    work = Retry(benchmark, store, ["finetune"], [candidate])
    events = {event.algorithm.partition("@")[0]: event for event in work.run(Compute("cpu", 1, 0.0))}
    assert (events["finetune"].kind, events["finetune"].seed) == ("finished", 1)
    assert (events["idea"].kind, events["idea"].text) == ("failed", "ValueError: again (idea.py, line 2)")
    names = {name.rpartition("/")[2] for name, _ in set(store.list(ours.folder)) - before}
    assert names == {"00001.finished.safetensors"}
    assert "00000.failed-2.safetensors" in [name.rpartition("/")[2] for name, _ in store.list(theirs.folder)]
    assert [work.failed(bank) for bank in work.filled] == [[], [0]]


def test_what_cannot_be_run_again_is_named_with_the_reason(store, fill, benchmark, tmp_path):
    path = tmp_path / "idea.py"
    candidate = write(path, f"{HEAD}): pass")
    changed = dataclasses.replace(built_in("finetune", benchmark.dataset.name), source="0" * 64)
    for algorithm in (candidate, changed, dataclasses.replace(changed, name="gone", method="gone")):
        fill(algorithm, failing=(0,))
    outside = fill(dataclasses.replace(changed, name="outside", method="outside"), failing=(0,))
    store.put_if_absent(f"{outside.folder}/examined.json", b"{}")
    work = Retry(benchmark, store, [], [])
    assert work.filled == [] and len(work.left) == 4
    said = " ".join(work.left)
    reasons = "the source of finetune has changed", "no algorithm is called gone", "its checkpoints did not fit"
    for part in (f"give the file of {candidate.name}", *reasons):
        assert part in said
    now = write(path, f"{HEAD}): return net")
    [line] = Retry(benchmark, store, [], [now]).left
    assert f"its file is {now.name} now" in line
    with pytest.raises(UserError, match="no runs of retrain failed"):
        Retry(benchmark, store, ["retrain"], [])


def test_a_lost_original_model_is_named(store, fill, benchmark, tmp_path):
    bank = fill(built_in("finetune", benchmark.dataset.name), failing=(0,))
    for file in (store.root / "originals").iterdir():
        file.unlink()
    [line] = Retry(benchmark, store, [], []).left
    assert line == f"{bank.folder}: the original model that it started from is no longer in the store"
