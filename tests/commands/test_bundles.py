"""`export`, `verify` and `import` as their users give them, honest and not."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save, save_file

from forget512.harness.exchange.bundle import _digest
from forget512.harness.exchange.exporting import export_banks
from forget512.harness.exchange.verification import verify
from forget512.harness.hashing import canonical_json, sha256
from forget512.harness.results.board import evaluation_reference
from forget512.harness.results.contents import find_contents
from forget512.harness.results.store_boards import boards
from forget512.harness.store.backends.folder import Folder
from forget512.harness.store.bank import StoredBank
from forget512.harness.store.benchmarks import read_benchmark
from forget512.harness.store.listing import list_bank
from forget512.harness.store.record import decode, decode_confidences
from forget512.harness.views.console import console
from forget512.harness.views.reproduction import show_reproduction
from forget512.harness.workflows.evaluation import Evaluation
from forget512.harness.workflows.reproduction import Reproduction
from support.commands import command

pytestmark = pytest.mark.usefixtures("coarse_projection")


@pytest.fixture
def give(monkeypatch, capsys):
    """give(…): (status, stdout, stderr) of a command."""
    return lambda *arguments: command(monkeypatch, capsys, *arguments)


@pytest.fixture(scope="session")
def exported(filled_store, tmp_path_factory) -> Path:
    """A bundle of retrain, the candidate and one setting of finetune; not to be changed."""
    out = tmp_path_factory.mktemp("exported") / "idea.forget512"
    export_banks(Folder(filled_store.store), ["idea.py", "finetune (lr=0.5)"], out, None, "released", None)
    return out


@pytest.fixture
def forged(exported, tmp_path) -> Callable[..., Path]:
    """forged(manifest=…, arrays=…): the bundle, changed by two functions in place, every checksum made right again."""

    def forge(manifest: Callable[[Any], None] = lambda m: None, arrays: Callable[[Any], None] = lambda a: None) -> Path:
        with safe_open(exported, framework="numpy") as file:
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            text = json.loads(file.metadata()["bundle"])
        arrays(values)
        text["arrays"] = {name: _digest(array) for name, array in values.items()}
        manifest(text)
        written = canonical_json(text)
        path = tmp_path / "forged.forget512"
        save_file(values, path, metadata={"bundle": written, "sha256": sha256(written.encode())})
        return path

    return forge


def records(store: Path) -> dict[str, Any]:
    found = {}
    for path in store.glob("banks/*/*/*.finished.safetensors"):
        record = decode(path.read_bytes())
        found[f"{path.parent.name}/{path.name}"] = (record.forget_logits.tobytes(), record.seconds, record.provenance)
    return found


def test_an_honest_bundle_is_verified_and_its_import_gives_the_same_board(give, exported, filled_store, tmp_path):
    status, out, _ = give("verify", exported)
    assert status == 0 and "numbers recomputed, all equal" in out
    status, out, _ = give("import", exported, "--store", tmp_path / "other")
    assert status == 0 and out.count("16 runs imported") == 3
    theirs, ours = records(tmp_path / "other"), records(filled_store.store)
    assert len(theirs) == 48 and theirs.items() <= ours.items()
    boards = [
        json.loads(give("leaderboard", "--store", store, "--format", "json")[1])["boards"][0]
        for store in (filled_store.store, tmp_path / "other")
    ]
    scores = [{row["algorithm"].partition(" ")[0]: row["score"] for row in board["algorithms"]} for board in boards]
    idea = next(name for name in scores[1] if name.startswith("idea@"))
    assert scores[0][idea]["score"] == scores[1][idea]["score"]
    for row in boards[1]["algorithms"]:
        assert {"imported-reference", "imported"} <= {warning["name"] for warning in row["warnings"]}
        assert any("idea.forget512" in warning["text"] for warning in row["warnings"])


def test_a_bank_that_the_board_calls_by_a_long_name_is_exported_and_imported(give, filled_store, tmp_path):
    store = filled_store.copy(tmp_path / "own")
    (first, *_) = sorted(store.glob("banks/*/finetune-*"))
    identity = json.loads((first / "bank.json").read_text())
    identity["hyper_parameters"]["note"] = "long " * 60
    key = sha256(identity)
    folder = first.parent / f"finetune-{key[:12]}"
    folder.mkdir()
    (folder / "bank.json").write_text(canonical_json(identity))
    for path in first.glob("*.finished.safetensors"):
        (folder / path.name).write_bytes(dataclasses.replace(decode(path.read_bytes()), bank=key).encode())
    origin = {"file": "x" * 250, "sha256": "0" * 64, "seeds": [0]}
    (folder / f"origin-{'0' * 12}.json").write_text(json.dumps(origin))
    assert give("export", folder.name, tmp_path / "b", "--store", store)[0] == 0
    status, out, _ = give("verify", tmp_path / "b")
    assert status == 0, out
    assert give("import", tmp_path / "b", "--store", tmp_path / "third")[0] == 0
    assert give("export", folder.name, tmp_path / "c", "--store", tmp_path / "third")[0] == 0  # "b from xxx…"
    assert give("verify", tmp_path / "c")[0] == 0


def test_evaluate_takes_an_imported_reference_and_says_so(give, exported, filled_store, tmp_path):
    store = tmp_path / "other"
    give("import", exported, "--store", store)
    shutil.copytree(filled_store.store / "originals", store / "originals")
    status, out, _ = give("evaluate", filled_store.idea, *filled_store.options, "--store", store)  # trains nothing
    assert status == 0 and "Warning (imported-reference)" in out and "idea.forget512" in out


def test_importing_twice_changes_nothing_and_own_runs_stay_own(give, exported, filled_store, tmp_path):
    store = filled_store.copy(tmp_path / "own")
    before = sorted(store.rglob("*"))
    for _ in range(2):
        status, out, _ = give("import", exported, "--store", store)
        assert status == 0 and out.count("0 runs imported, 16 were already in the store") == 3
    assert sorted(store.rglob("*")) == before
    assert "imported" not in give("leaderboard", "--store", store)[1]


def test_a_candidates_source_travels_as_text_and_never_as_a_file_to_import(give, exported, filled_store, tmp_path):
    give("import", exported, "--store", tmp_path / "other")
    (kept,) = (tmp_path / "other").glob("banks/*/idea@*/source.json")
    text = json.loads(kept.read_text())
    assert text["files"] == [["idea.py", "utf-8", filled_store.idea.read_text()]]
    suffixes = {path.suffix for path in (tmp_path / "other").rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors"}


def flip(exported: Path, to: Path, place: int) -> Path:
    data = bytearray(exported.read_bytes())
    data[place] ^= 1
    to.write_bytes(data)
    return to


def test_a_flipped_bit_is_found_wherever_it_is(give, exported, tmp_path):
    size = exported.stat().st_size
    header = 8 + struct.unpack("<Q", exported.read_bytes()[:8])[0]
    for place in (header + 5, (header + size) // 2, size - 1):
        status, out, _ = give("verify", flip(exported, tmp_path / "b", place))
        assert status == 1 and "its checksum does not match" in out
    for place in (0, 3, 9, header // 2):
        status, _, err = give("verify", flip(exported, tmp_path / "b", place))
        assert status == 2 and err.count("\n") == 1 and "Traceback" not in err
    assert "is refused" in give("import", flip(exported, tmp_path / "b", size - 1), "--store", tmp_path / "s")[2]
    assert not list((tmp_path / "s").rglob("*.safetensors"))


def test_a_changed_number_with_right_checksums_is_found_by_computing_it(give, forged, tmp_path):
    def better(manifest):
        manifest["scores"][0]["score"] += 0.01

    path = forged(better)
    status, out, _ = give("verify", path)
    assert status == 1 and out.count("\n") == 1 and "score is stated as" in out
    status, _, err = give("import", path, "--store", tmp_path / "s")
    assert status == 2 and "is refused" in err


def test_changed_logits_with_right_checksums_are_found(give, forged):
    def change(arrays):
        arrays["1/forget_logits"][3] = arrays["0/forget_logits"][3]

    status, out, _ = give("verify", forged(arrays=change))
    assert status == 1 and "the arrays give" in out and "ε of" in out


def test_a_changed_accuracy_is_found_from_the_logits(give, forged):
    def change(arrays):
        arrays["1/test_accuracy"][:] = 1.0

    def hide(manifest):
        for name in ("unlearned_test_accuracy", "test_ratio", "score"):
            manifest["scores"][0][name] = 1.0

    assert "test accuracy is stated as 1.000000" in give("verify", forged(hide, change))[1]


def of_bank(number: int, **changes: Any) -> Callable[[Any], None]:
    def change(manifest):
        manifest["banks"][number]["identity"] |= changes

    return change


def edit(path: str, value: Any) -> Callable[[Any], None]:
    """Set one entry of the manifest, 'banks.1.source.files'."""

    def change(manifest):
        *parents, last = path.split(".")
        for step in parents:
            manifest = manifest[int(step)] if isinstance(manifest, list) else manifest[step]
        manifest[last] = value(manifest[last]) if callable(value) else value

    return change


def huge_epochs(benchmark):
    """Its description with more epochs than a float can count, and its fingerprint made right again."""
    identity = benchmark["identity"]
    identity = {**identity, "recipe": {**identity["recipe"], "epochs": 10**400}}
    return {**benchmark, "identity": identity, "fingerprint": sha256(identity)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (of_bank(1, algorithm="../../../evil"), "its path would leave the store"),
        (of_bank(1, algorithm="a\\..\\b"), "its path would leave the store"),
        (of_bank(1, algorithm=".hidden"), "its path would leave the store"),
        (of_bank(1, algorithm="a\x1b[2Jb"), "not a short printable text"),
        (of_bank(1, hyper_parameters={"a\x1b[2Jb": 1}), "not a short printable text"),
        (of_bank(1, source="\x1b[2J"), "not a short printable text"),
        (of_bank(1, original="\x1b[2J"), "not a short printable text"),
        (of_bank(1, batch_format="\x1b[2J"), "not a short printable text"),
        (edit("benchmark", huge_epochs), "epochs or sizes are missing or invalid"),
        (of_bank(1, algorithm="retrain"), "its first bank, and only that one, must be retrain's"),
        (of_bank(1, algorithm="idea@12345678"), "does not match its source"),
        (of_bank(1, benchmark="0" * 64), "belongs to another benchmark"),
        (of_bank(1, hyper_parameters=[]), "does not name its algorithm"),
        (edit("banks.1.source.files", [["idea.py", "utf-8", "print('other code')"]]), "does not match its bank's name"),
        (edit("banks.1.source.files", [["idea.py", "idna", "x"]]), "does not match its bank's name"),
        (edit("banks.1.source.files", [["idea.py", "utf-8", "x = = 2"]]), "Python cannot parse idea.py ("),
        (edit("banks.1.source", 7), "is not text"),
        (edit("banks.1.provenance", []), "does not match its runs"),
        (edit("benchmark.fingerprint", "0" * 64), "its fingerprint does not match its description"),
        (edit("benchmark.forget_targets", [0] * 29), "29 forget targets for 30"),
        (edit("benchmark.forget_targets", [99] * 30), "not a valid class index"),
        (edit("benchmark.forget_indices", list(range(30))), "its forget indices do not match"),
        (edit("benchmark", []), "not a valid description of a benchmark"),
        (edit("mode", "best"), "'best' is not known"),
    ],
)
def test_a_forged_manifest_is_named_and_imports_nothing(give, forged, tmp_path, change, said):
    path = forged(change)
    status, out, err = give("verify", path)
    assert status == 1 and said in out and "\x1b" not in out
    status, out, err = give("import", path, "--store", tmp_path / "s")
    assert status == 2 and said in err and err.count("\n") == 1
    assert [file for file in tmp_path.rglob("*") if file.is_file() and file != path] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.update({"1/seed": a["1/seed"] * 0}), "seeds are not distinct"),
        (lambda a: a.update({"1/seed": a["1/seed"] + 2**40}), "seeds are not distinct"),
        (lambda a: a.update({"1/seed": a["1/seed"] + 99}), "seeds beyond its N"),
        (lambda a: a["1/forget_logits"].__setitem__((0, 0), np.nan), "has impossible values"),
        (lambda a: a["1/test_accuracy"].__setitem__(0, 1.5), "has impossible values"),
        (lambda a: a["1/provenance"].__setitem__(0, 9), "does not match its runs"),
        (lambda a: a.update({"1/forget_logits": a["1/forget_logits"][:, :5].copy()}), "has 5 examples"),
        (lambda a: a.update({"1/seconds": a["1/seconds"][:3]}), "of shape (3,)"),
        (lambda a: a.pop("1/seconds"), "a bank's arrays should be"),
        (lambda a: a.update({"1/evil": np.zeros(2)}), "a bank's arrays should be"),
    ],
)
def test_arrays_that_no_export_writes_are_refused(give, forged, change, said):
    status, out, _ = give("verify", forged(arrays=change))
    assert status == 1 and said in out


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a bundle",
        struct.pack("<Q", 2**62) + b"{}",  # a header longer than the file
        struct.pack("<Q", 2) + b"{}" + b"\0" * 100,  # arrays that nothing lists
        struct.pack("<Q", 10**6) + b"[" * 10**6,  # nested without end
        save({"x": np.zeros(3)}),
        save({"x": np.zeros(3)}, metadata={"bundle": "[" * 100_000, "sha256": sha256(b"[" * 100_000)}),
        save({"x": np.zeros(3)}, metadata={"bundle": "{}", "sha256": "0" * 64}),
        b"\x80\x04\x95\x1b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94.",  # a pickle
        b"PK\x03\x04" + b"\0" * 60,
    ],
)
def test_what_is_not_a_bundle_is_one_line_with_status_2(give, refused, tmp_path, data):
    path = tmp_path / "x"
    path.write_bytes(data)
    assert "is not a bundle" in (line := refused("verify", path)) or "is damaged" in line
    refused("import", path, "--store", tmp_path / "s")


def test_numbers_beyond_json_and_huge_counts_are_refused(give, exported, forged, refused, tmp_path):
    assert "number of runs" in refused("verify", forged(edit("runs", 10**15)))
    with safe_open(exported, framework="numpy") as file:
        values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = file.metadata()["bundle"].replace('"runs":16', '"runs":NaN', 1)
    save_file(values, tmp_path / "nan", metadata={"bundle": text, "sha256": sha256(text.encode())})
    assert "contains NaN" in refused("verify", tmp_path / "nan")


def test_another_benchmark_than_the_one_stated_is_refused(refused, exported, tmp_path):
    store = ["--store", tmp_path / "s"]
    assert "--benchmark is 0123" in refused("import", exported, *store, "--benchmark", "0123")
    assert "a bundle names its own benchmark" in refused("import", exported, *store, "--dataset", "digits")


def test_other_classes_than_those_that_the_store_knows_are_refused(give, refused, exported, filled_store, tmp_path):
    store = filled_store.copy(tmp_path / "own")
    (name,) = store.glob("benchmarks/*.json")
    description = json.loads(name.read_text())
    description["forget_targets"].reverse()
    description["forget_targets"][0] = (description["forget_targets"][0] + 1) % 3
    name.write_text(canonical_json(description))
    assert "differ from those in the store" in refused("import", exported, "--store", store)


def test_export_overwrites_nothing_and_names_what_it_cannot_find(refused, exported, filled_store, tmp_path):
    before = exported.read_bytes()
    store = ["--store", filled_store.store]
    assert "exists and is not overwritten" in refused("export", "idea", exported, *store)
    assert exported.read_bytes() == before
    assert "Did you mean 'forget_remember'?" in refused("export", "forget_rember", tmp_path / "b", *store)
    assert "matches 2 banks" in refused("export", "finetune", tmp_path / "b", *store)
    assert "has no benchmark 0: it holds" in refused("export", "idea", tmp_path / "b", *store, "--benchmark", "0")
    assert not (tmp_path / "b").exists()


@pytest.fixture
def published(filled_store, tmp_path) -> Path:
    """The published program's file with the reference's runs of the filled store."""
    store = Folder(filled_store.store)
    benchmark = read_benchmark(store, filled_store.benchmark.fingerprint[:12])
    (folder,) = filled_store.store.glob("banks/*/retrain-*")
    bank = StoredBank(list_bank(store, folder.relative_to(filled_store.store).as_posix()), benchmark)
    columns = bank.columns(sorted(bank.readings))
    path = tmp_path / "retrain_confs.npz"
    np.savez(
        path,
        retrained_confs=columns.confidences,
        retrain_retain_accs=columns.retain_accuracy,
        retrain_forget_accs=columns.forget_accuracy,
        retrain_test_accs=columns.test_accuracy,
        targets=benchmark.targets.forget,
        seconds=np.arange(1, 17),
    )
    return path


def test_an_unreadable_origin_note_is_written_anew_by_the_same_import(give, refused, exported, tmp_path):
    store = ["--store", tmp_path / "other"]
    give("import", exported, *store)
    note = next((tmp_path / "other").glob("banks/*/idea@*/origin-*.json"))
    sound = note.read_bytes()
    note.write_text("{")
    assert "import the file with the SHA-256" in refused("leaderboard", *store)
    status, out, _ = give("verify-store", *store, "--set-aside")
    assert status == 1 and note.name in out and note.exists()  # set aside, these runs would pass for own ones
    status, out, _ = give("import", exported, *store)
    assert status == 0 and "0 runs imported, 16 were already in the store" in out
    assert note.read_bytes() == sound and "idea.forget512" in give("leaderboard", *store)[1]


def test_score_and_compare_of_bank_folders_say_what_was_imported(give, exported, tmp_path):
    give("import", exported, "--store", tmp_path / "other")
    (retrained,) = (tmp_path / "other").glob("banks/*/retrain-*")
    (idea,) = (tmp_path / "other").glob("banks/*/idea@*")
    (finetune,) = (tmp_path / "other").glob("banks/*/finetune-*")
    for out in (
        give("score", "--retrained", retrained, "--unlearned", idea)[1],
        give("compare", "--retrained", retrained, idea, finetune)[1],
    ):
        assert "(imported-reference)" in out and "(imported)" in out


def test_a_reproduction_says_that_its_reference_was_imported(give, exported, filled_store, tmp_path):
    give("import", exported, "--store", tmp_path / "other")
    evaluation = Evaluation(filled_store.benchmark, [], 16, Folder(tmp_path / "other"))
    shown = console(file=io.StringIO())
    reference = evaluation_reference(evaluation)
    shown.print(show_reproduction(Reproduction("A table", [], [], 1.0, True), evaluation, reference, []))
    assert "Warning (imported-reference)" in shown.file.getvalue()


@pytest.mark.parametrize("short", [False, True])
def test_all_commands_take_the_same_reference(give, published, filled_store, tmp_path, short):
    """An imported bank of 20 runs beside the own one of 16: the own one, as long as it has the N runs."""
    with np.load(published) as file:
        arrays = {name: file[name] for name in file.files}
    more = {name: np.concatenate([a, a[:4]]) if name != "targets" else a for name, a in arrays.items()}
    np.savez(published, **more)
    store = filled_store.copy(tmp_path / "own")
    give("import", published, *filled_store.options[:-2], "--store", store)
    (own,) = (path.parent for path in store.glob("banks/*/retrain-*/00000.*"))
    (imported,) = (path.parent for path in store.glob("banks/*/retrain-*/confidences-20.*"))
    if short:
        (own / "00003.finished.safetensors").unlink()
    chosen = (imported if short else own).name
    assert find_contents(Folder(store)).reference.folder.endswith(chosen)
    assert Evaluation(filled_store.benchmark, [], 16, Folder(store)).reference.folder.endswith(chosen)
    ((board,), _) = boards(Folder(store))
    assert any((own if short else imported).name in note and "another reference" in note for note in board.notes)
    export_banks(Folder(store), ["idea"], tmp_path / "b", None, "released", None)
    bundle, _ = verify(tmp_path / "b")
    assert sha256(bundle.manifest["banks"][0]["identity"])[:12] == chosen.rpartition("-")[2]


def test_other_classes_beside_published_confidences_are_refused(refused, published, filled_store, tmp_path):
    with np.load(published) as file:
        arrays = dict(file)
    arrays["targets"] = (arrays["targets"] + (np.arange(30) < 2)) % 3
    np.savez(published, **arrays)
    assert "2 of 30 examples" in refused("import", published, *filled_store.options[:-2], "--store", tmp_path / "s")
    assert not list((tmp_path / "s").rglob("*.safetensors"))


def test_published_confidences_become_the_reference_and_stand_beside_each_score(
    give, refused, published, filled_store, tmp_path
):
    store = filled_store.copy(tmp_path / "own")
    own = json.loads(give("leaderboard", "--store", store, "--format", "json")[1])["boards"][0]
    shutil.rmtree(next(store.glob("banks/*/retrain-*")))
    options = filled_store.options[:-2]
    assert "give --dataset and the other benchmark options" in refused("import", published, "--store", store)
    status, out, _ = give("import", published, *options, "--store", store)
    assert status == 0 and "confidences of 16 runs imported" in out
    (kept,) = store.glob("banks/*/retrain-*/confidences-16.safetensors")
    arrays = decode_confidences(kept.read_bytes())
    assert arrays["seconds"].tolist() == list(range(1, 17)) and "forget_accuracy" in arrays
    sound = kept.read_bytes()
    flip(kept, kept, 8 + struct.unpack("<Q", sound[:8])[0])  # in the first confidence
    status, out, _ = give("verify-store", "--store", store)
    assert status == 1 and f"{kept.name}: its checksum does not match" in out
    kept.write_bytes(sound)
    assert give("verify-store", "--store", store)[0] == 0
    status, out, _ = give("evaluate", filled_store.idea, *filled_store.options, "--store", store, "--json")
    (row,) = json.loads(out)["algorithms"]
    same = next(each for each in own["algorithms"] if each["algorithm"] == row["algorithm"])
    assert status == 0 and row["score"]["score"] == same["score"]["score"]
    assert "retrain_confs.npz" in next(w["text"] for w in row["warnings"] if w["name"] == "imported-reference")
    assert "16 complete" in give("status", "--store", store, "--runs", 16)[1].split("retrain-")[1].splitlines()[0]
    # and it goes on to others: as confidences, with where it came from
    status, _, _ = give("export", "idea", tmp_path / "b", "--store", store)
    assert status == 0 and give("verify", tmp_path / "b")[0] == 0
    give("import", tmp_path / "b", "--store", tmp_path / "third")
    assert "b from retrain_confs.npz" in " ".join(give("leaderboard", "--store", tmp_path / "third")[1].split())


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("retrained_confs", np.array(["a", "b"]), "confidences has dtype <U1"),
        ("retrained_confs", np.zeros((1, 30)), "at least 2 runs"),
        ("retrain_test_accs", np.array(["a"] * 16), "test_accuracy has dtype <U1"),
        ("retrain_forget_accs", np.full(16, 0.5j), "forget_accuracy has dtype complex128"),
        ("retrain_retain_accs", np.full(16, 95.0), "retain_accuracy holds 95.0 at run 0"),
    ],
)
def test_published_arrays_of_another_kind_are_refused_in_one_line(
    refused, published, filled_store, tmp_path, name, values, said
):
    with np.load(published) as file:
        arrays = {**file, name: values}
    del arrays["targets"], arrays["seconds"]
    np.savez(published, **arrays)
    assert said in refused("import", published, *filled_store.options[:-2], "--store", tmp_path / "s")


def test_confidences_of_another_forget_set_are_refused(refused, published, filled_store, tmp_path):
    options = filled_store.options[:4]  # 10 % forgotten
    assert "this benchmark forgets 6 examples" in refused("import", published, *options, "--store", tmp_path / "s")
    line = refused("import", published, *filled_store.options[:-2], "--benchmark", "00", "--store", tmp_path / "s")
    assert "--benchmark is 00" in line
