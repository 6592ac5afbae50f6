"""`leaderboard` and batches of `evaluate` as their users give them, on a store that is filled already."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path

import jsonschema
import pytest

from forget512.harness.candidates.built_in import built_in
from forget512.harness.results.board import Pairing, _rank
from forget512.harness.results.labels import label, usual_runs
from forget512.harness.results.rows import Row
from forget512.harness.results.store_boards import boards, is_floor
from forget512.harness.store.backends.folder import Folder
from forget512.scoring import Comparison
from support.commands import command

pytestmark = pytest.mark.usefixtures("coarse_projection")
SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "scores.schema.json").read_text())


@pytest.fixture
def give(monkeypatch, capsys):
    """give(…): (status, stdout, stderr) of a command."""
    return lambda *arguments: command(monkeypatch, capsys, *arguments)


def test_the_board_has_all_banks_of_a_store_and_tells_settings_apart(give, filled_store):
    status, out, _ = give("leaderboard", "--store", filled_store.store, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    names = [row["algorithm"].partition("@")[0] for row in rows]
    assert status == 0
    assert sorted(names[:4]) == ["finetune (lr=0.001)", "finetune (lr=0.5)", "forget_remember", "idea"]
    assert names[4].startswith("retrain (the reference") and names[5] == "original (untouched)"
    scores = [float(row["score"]) for row in rows]
    assert scores[:3] == sorted(scores[:3], reverse=True) and scores[5] == 0
    by_name = dict(zip(names, rows, strict=True))
    # 15 runs of 16 are more than 2 % off: shown below the others and marked, ranked with nobody.
    assert names[3] == "forget_remember"
    assert (by_name["forget_remember"]["runs"], by_name["forget_remember"]["rank"]) == ("15", "")
    assert "several-settings: 2 hyper-parameter settings were run" in by_name["finetune (lr=0.5)"]["warnings"]
    assert "several-settings" not in by_name["idea"]["warnings"]


def test_the_table_flags_warnings_marks_short_banks_and_says_why(give, filled_store):
    status, out, _ = give("leaderboard", "--store", filled_store.store)
    said = " ".join(out.split())
    assert status == 0 and max(map(len, out.splitlines())) <= 120
    for words in (
        "15 of 16",
        "forget_remember: 1 of 16 runs failed; seed 5: ValueError: no such layer",
        "* Warning (several-settings): finetune (lr=0.5), finetune (lr=0.001): 2 hyper-parameter settings were run",
        "all together hold with 95% (Bonferroni)",
        "original",
    ):
        assert words in said


def test_the_json_and_markdown_boards_hold_the_same_rows(give, filled_store):
    answer = json.loads(give("leaderboard", "--store", filled_store.store, "--format", "json")[1])
    jsonschema.validate(answer, SCHEMA)
    (board,) = answer["boards"]
    assert board["benchmark"]["fingerprint"] == filled_store.benchmark.fingerprint
    text = give("leaderboard", "--store", filled_store.store, "--format", "markdown")[1]
    for row in board["algorithms"]:
        assert f"{row['score']['score']:.4f}" in text
    assert "forget\\_remember" in text


def test_fewer_runs_may_be_asked_for(give, filled_store):
    out = give("leaderboard", "--store", filled_store.store, "--format", "csv", "--runs", 5)[1]
    assert {row["runs"] for row in csv.DictReader(io.StringIO(out))} == {"5", ""}


def test_a_damaged_record_is_named_and_stays_where_it_is(give, filled_store, tmp_path):
    store = filled_store.copy(tmp_path / "store")
    victim = next(store.glob("banks/*/idea@*/00003.*"))
    victim.write_bytes(victim.read_bytes()[:-1])
    status, out, _ = give("leaderboard", "--store", store)
    assert status == 0 and "its checksum does not match; it is not counted" in " ".join(out.split())
    assert victim.exists()


def test_a_benchmark_that_cannot_be_scored_is_left_out_with_its_reason(filled_store, tmp_path):
    store = filled_store.copy(tmp_path / "store")
    (store / "banks" / "0123456789ab" / "finetune-x").mkdir(parents=True)
    (store / "banks" / "0123456789ab" / "finetune-x" / "bank.json").write_text("{}")
    found, left_out = boards(Folder(store), runs=2)
    assert len(found) == 1 and left_out == [
        "benchmark 0123456789ab is left out: benchmarks/0123456789ab.json is missing."
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--store", "nowhere"], "does not exist"),
        (["--store", "."], "holds nothing that can be scored"),
        (["--format", "cvs"], "Did you mean 'csv'?"),
        (["--runs", 1], "at least 2 runs"),
    ],
)
def test_a_mistake_in_leaderboard_is_one_line(refused, filled_store, arguments, said):
    store = [] if "--store" in arguments else ["--store", filled_store.store]
    assert said in refused("leaderboard", *arguments, *store)


def test_a_rank_counts_who_is_significantly_better_so_that_ties_share_it():
    rows = [Row(name, 9, 9, None, None, None, None, None, 0, None, (), ranked=True) for name in "abc"]

    def pair(better: str, worse: str, tied: bool) -> Pairing:
        return Pairing(better, worse, Comparison(0.1, (-0.1 if tied else 0.05, 0.2), 0.95, 0.99, tied))

    pairs = [pair("a", "b", True), pair("a", "c", False), pair("b", "c", True)]

    class Scored:
        interval = (0.0, 1.0)

    class Assessed:
        score = Scored()

    rows = [dataclasses.replace(row, assessment=Assessed()) for row in rows]
    assert [_rank(row, pairs) for row in rows] == [1, 1, 2]


class Bank:
    """As much of a bank as naming and counting look at."""

    def __init__(self, tried: int = 0, **identity):
        self.tried, self.readings = tried, range(tried)
        self.identity = {"algorithm": "a", "hyper_parameters": {}, "source": "s" * 64, "original": "o" * 64, **identity}


def test_banks_are_named_by_what_tells_them_apart():
    banks = [
        Bank(hyper_parameters={"lr": 0.1, "epochs": 1}),
        Bank(hyper_parameters={"lr": 0.2, "epochs": 1}),
        Bank(hyper_parameters={"lr": 0.2, "epochs": 1}, original="p" * 64),
        Bank(algorithm="b"),
        Bank(algorithm="b", batch_format="kaggle"),
        Bank(algorithm="c", hyper_parameters={"t": "\x9b2J"}),
        Bank(algorithm="c", hyper_parameters={"t": "2"}),
    ]
    label(banks)
    assert [bank.name for bank in banks] == [
        "a (lr=0.1)",
        "a (lr=0.2, original oooooooo)",
        "a (lr=0.2, original pppppppp)",
        "b",
        "b (batch_format kaggle)",
        'c (t="?2J")',
        'c (t="2")',
    ]


def test_the_floor_is_finetune_with_all_its_values_whether_or_not_it_has_a_preset():
    for dataset in ("digits", "mine"):
        preset = built_in("finetune", dataset).hyper_parameters
        assert is_floor(dataset, {"algorithm": "finetune", "hyper_parameters": preset})
        for other in ({**preset, "lr": 0.7}, {}):
            assert not is_floor(dataset, {"algorithm": "finetune", "hyper_parameters": other})
    assert not is_floor("digits", {"algorithm": "scrub", "hyper_parameters": {}})


def test_n_is_what_most_banks_were_brought_to():
    assert usual_runs([Bank(512), Bank(512), Bank(64)]) == 512
    assert usual_runs([Bank(512), Bank(64), Bank(64)]) == 64
    assert usual_runs([Bank(512), Bank(64)]) == 512


def test_one_bad_file_does_not_stop_the_others(give, filled_store, tmp_path):
    (tmp_path / "broken.py").write_text("import no_such_module")
    (tmp_path / "empty.py").write_text("")
    files = [tmp_path / "broken.py", filled_store.idea, tmp_path / "empty.py"]
    status, out, err = give("evaluate", *files, *filled_store.options, "--store", filled_store.store)
    assert status == 1 and "idea@" in out
    assert "broken.py: cannot be imported: ModuleNotFoundError" in err and "empty.py: has no function" in err


def test_only_bad_files_end_the_command_at_once(refused, filled_store, tmp_path):
    (tmp_path / "broken.py").write_text("import no_such_module")
    (tmp_path / "empty.py").write_text("")
    line = refused("evaluate", "finetune", tmp_path / "broken.py", tmp_path / "empty.py", *filled_store.options)
    assert "broken.py: cannot be imported" in line and "empty.py: has no function" in line
