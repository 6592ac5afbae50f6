"""`score` and `compare` as their users run them, on arrays from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from support.commands import command

GOLDEN = Path(__file__).parents[1] / "scoring" / "golden" / "official_small.npz"
pytestmark = pytest.mark.usefixtures("coarse_projection")
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "scores.schema.json").read_text())


@pytest.fixture
def arrays(tmp_path, monkeypatch):
    """arrays(name, shift, spread, runs=…, examples=…, **more): a .npz file of Gaussian confidences, by its name."""
    monkeypatch.chdir(tmp_path)

    def make(name: str, shift: float = 0.0, spread: float = 1.0, runs: int = 40, examples: int = 12, **more) -> str:
        rng = np.random.default_rng(list(name.encode()))
        np.savez(name, confidences=shift + spread * rng.normal(size=(runs, examples)), **more)
        return name

    return make


@pytest.fixture
def run(monkeypatch, capsys):
    """run(…): what a command prints, which must succeed."""

    def call(*arguments) -> str:
        status, out, error = command(monkeypatch, capsys, *arguments)
        assert status == 0, error
        return out

    return call


def test_score_of_a_golden_file(monkeypatch, capsys, tmp_path):
    golden = np.load(GOLDEN)
    files = {}
    for side in ("retrained", "unlearned"):
        files[side] = tmp_path / f"{side}.npz"
        np.savez(
            files[side],
            confidences=golden[f"end_to_end/{side}"],
            retain_accuracy=golden[f"end_to_end/{side}_retain_accuracy"],
            test_accuracy=golden[f"end_to_end/{side}_test_accuracy"],
        )
    arguments = ["score", "--retrained", files["retrained"], "--unlearned", files["unlearned"], "--json"]
    status, out, _ = command(monkeypatch, capsys, *arguments, "--per-example")
    result = json.loads(out)
    assert status == 0 and result["mode"] == "released"
    assert abs(result["score"] - float(golden["end_to_end/score"])) < 1e-9
    assert abs(result["forgetting_quality"] - float(golden["end_to_end/forgetting_quality"])) < 1e-9
    assert result["interval"][0] < result["score"] < result["interval"][1]
    assert 0.1 < result["ceiling"] < 0.3
    assert len(result["epsilon"]) == 24
    status, out, _ = command(monkeypatch, capsys, *arguments)
    assert "epsilon" not in json.loads(out)


def test_score_of_logits_without_accuracies_is_f_and_says_that_few_runs_cannot_be_read(monkeypatch, capsys, tmp_path):
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 5, 6)
    for side in ("a", "b"):
        np.savez(tmp_path / f"{side}.npz", logits=rng.normal(size=(7, 6, 5)).astype(np.float16), targets=targets)
    arguments = ["score", "--retrained", tmp_path / "a.npz", "--unlearned", tmp_path / "b.npz"]
    status, out, _ = command(monkeypatch, capsys, *arguments, "--json")
    result = json.loads(out)
    assert status == 0
    assert result["retain_ratio"] is result["test_ratio"] is result["interval"] is result["ceiling"] is None
    assert result["score"] == result["forgetting_quality"]
    assert [warning["name"] for warning in result["warnings"]] == ["few-runs"]
    assert result["missing"]["interval"] == "needs 8 runs a side"
    status, out, _ = command(monkeypatch, capsys, *arguments)
    assert "needs 8 runs" in out and "cannot be interpreted" in out


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"other": np.zeros(3)}, "must hold `confidences` (N, S), or `logits` (N, S, C) with `targets` (S,)"),
        ({"confidences": np.zeros((1, 3))}, "at least 2 runs"),
        ({"confidences": np.zeros(3)}, "a 2-D array"),
        (
            {"confidences": np.full((4, 3), np.nan)},
            "12 values (run, example) on the unlearned side are not finite: (0, 0)",
        ),
        ({"confidences": np.zeros((4, 2))}, "same examples"),
        ({"logits": np.zeros((4, 3, 5)), "targets": np.array([0, 1, 5])}, "5"),
        ({"confidences": np.zeros((4, 3)), "retain_accuracy": np.ones(3)}, "retain_accuracy"),
    ],
)
def test_arrays_that_cannot_be_scored_are_one_line(refused, tmp_path, arrays, said):
    fine = {"confidences": np.random.default_rng(0).normal(size=(4, 3)), "retain_accuracy": np.ones(4)}
    np.savez(tmp_path / "fine.npz", **fine)
    np.savez(tmp_path / "bad.npz", **arrays)
    line = refused("score", "--retrained", tmp_path / "fine.npz", "--unlearned", tmp_path / "bad.npz")
    assert said in line


@pytest.mark.parametrize(
    ("other", "said"),
    [({"logits": np.zeros((4, 3, 7)), "targets": np.array([0, 1, 2])}, "classes"),
     ({"logits": np.zeros((4, 3, 5)), "targets": np.array([0, 1, 3])}, "different `targets`")],
)  # fmt: skip
def test_two_sides_of_different_tasks_are_refused(refused, tmp_path, other, said):
    np.savez(tmp_path / "one.npz", logits=np.zeros((4, 3, 5)), targets=np.array([0, 1, 2]))
    np.savez(tmp_path / "other.npz", **other)
    assert said in refused("score", "--retrained", tmp_path / "one.npz", "--unlearned", tmp_path / "other.npz")


def test_score_refuses_files_that_are_none(refused, tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    assert "cannot be read" in refused("score", "--retrained", "text.npz", "--unlearned", "text.npz")
    assert "does not exist" in refused("score", "--retrained", "none.npz", "--unlearned", "none.npz")
    assert "choose from released" in refused(
        "score", "--retrained", "text.npz", "--unlearned", "text.npz", "--mode", "exakt"
    )


@pytest.mark.parametrize("mode", ["released", "spec", "exact", "certified"])
@pytest.mark.parametrize("more", [[], ["--per-example"]])
def test_the_json_of_a_score_is_as_documented(arrays, run, mode, more):
    r, u = arrays("r.npz"), arrays("u.npz", 0.5, 0.8)
    answer = json.loads(run("score", "--retrained", r, "--unlearned", u, "--mode", mode, "--json", *more))
    jsonschema.validate(answer, SCHEMA)
    assert ("per_example" in answer) == bool(more)
    if more:
        assert len(answer["per_example"]["epsilon"]) == 12
        assert (answer["per_example"]["family"] is None) == (mode in ("exact", "certified"))


def test_the_schema_refuses_what_is_not_documented(arrays, run):
    answer = json.loads(run("score", "--retrained", arrays("r.npz"), "--unlearned", arrays("u.npz"), "--json"))
    for wrong in ({**answer, "surprise": 1}, {**answer, "score": "0.1"}, {**answer, "schema": "forget512/score/2"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMA)


def test_the_text_says_n_ceiling_both_spreads_and_the_projection(arrays, run):
    out = run("score", "--retrained", arrays("r.npz"), "--unlearned", arrays("u.npz", 0.5, 0.8), "--per-example")
    for words in ("N = 40 unlearned v 40", "over runs; ±", "over forget examples", "ceiling 0.", "untouched original"):
        assert words in out
    for words in ("projected from N = 40 to 512", "F against N: 8:", "KLOM of 20 runs", "U-LiRA", "two-sample tests"):
        assert words in out


def test_a_projection_that_was_asked_for_and_cannot_be_had_has_its_reason(arrays, run):
    r, u = arrays("r.npz"), arrays("u.npz", 0.5, 0.8)
    cases = {
        ("--project", "40"): "the score already has 40 runs",
        ("--project", "512", "--mode", "exact"): "only mode released can be projected",
    }
    for options, reason in cases.items():
        answer = json.loads(run("score", "--retrained", r, "--unlearned", u, "--json", *options))
        assert answer["projected"] is None and reason in answer["missing"]["projected"]
        assert reason in run("score", "--retrained", r, "--unlearned", u, *options)
    answer = json.loads(run("score", "--retrained", r, "--unlearned", u, "--json", "--project", "128"))
    assert answer["projected"]["to"] == 128


def test_a_candidate_slower_than_the_rule_is_marked(arrays, run):
    r, u = arrays("r.npz", seconds=np.full(40, 10.0)), arrays("u.npz", 0.5, 0.8, seconds=np.full(40, 3.0))
    answer = json.loads(run("score", "--retrained", r, "--unlearned", u, "--mode", "spec", "--json"))
    assert answer["cost"] == {
        "seconds": 3.0,
        "share": 0.3,
        "share_of_30_epochs": None,
        "too_slow": True,
        "median": 3.0,
        "slowest": 3.0,
        "timed": 40,
    }
    assert "30% of a retraining: slower than the 20%" in run("score", "--retrained", r, "--unlearned", u)


def test_the_published_programs_file_is_read_as_it_is(arrays, run, tmp_path):
    ours = arrays("r.npz", retain_accuracy=np.full(40, 0.9), test_accuracy=np.full(40, 0.8))
    with np.load(ours) as source:
        np.savez(
            "retrain_confs.npz",
            retrained_confs=source["confidences"],
            retrain_retain_accs=source["retain_accuracy"],
            retrain_test_accs=source["test_accuracy"],
            retrain_forget_accs=source["test_accuracy"],
        )
    u = arrays("u.npz", 0.5, 0.8, retain_accuracy=np.full(40, 0.8), test_accuracy=np.full(40, 0.8))
    answers = [run("score", "--retrained", file, "--unlearned", u, "--json") for file in (ours, "retrain_confs.npz")]
    assert answers[0] == answers[1] and json.loads(answers[0])["retain_ratio"] == pytest.approx(0.8 / 0.9)


def test_logits_in_float16_are_scored(run, arrays, tmp_path):
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 5, 6)
    for name in ("a", "b"):
        np.savez(tmp_path / name, logits=rng.normal(size=(16, 6, 5)).astype(np.float16), targets=targets)
    answer = json.loads(run("score", "--retrained", "a.npz", "--unlearned", "b.npz", "--json", "--per-example"))
    assert answer["per_example"]["label"] == targets.tolist()
    assert all(0 <= share <= 1 for share in answer["per_example"]["unlearned_correct"])


def test_a_gamed_score_is_flagged_with_what_it_would_be_without(arrays, run):
    r = arrays("r.npz", runs=128, examples=30)
    with np.load(r) as source:
        rng = np.random.default_rng(1)
        collapsed = 0.05 * rng.normal(size=source["confidences"].shape)
        collapsed[:7] = 4.0 * rng.normal(size=(7, 30))
        np.savez("u.npz", confidences=collapsed)
    answer = json.loads(run("score", "--retrained", r, "--unlearned", "u.npz", "--json"))
    (warning,) = [found for found in answer["warnings"] if found["name"] == "wild-runs"]
    assert warning["side"] == "unlearned" and warning["numbers"]["unlearned_runs"] == list(range(7))
    assert warning["numbers"]["quality_without"] < 0.5 * answer["forgetting_quality"]
    assert "wild-runs" in run("score", "--retrained", r, "--unlearned", "u.npz")


def test_compare_says_who_is_better_and_who_is_tied(arrays, run):
    size = {"runs": 64, "examples": 40}
    places = {"near.npz": (0.3, 0.9), "too.npz": (0.3, 0.9), "far.npz": (1.5, 0.5)}
    files = [arrays(name, *place, **size) for name, place in places.items()]
    r = arrays("r.npz", **size)
    answer = json.loads(run("compare", "--retrained", r, *files, "--json"))
    jsonschema.validate(answer, SCHEMA)
    assert answer["scores"][-1]["name"] == "far" and len(answer["comparisons"]) == 3
    tied = {frozenset((pair["first"], pair["second"])): pair["tied"] for pair in answer["comparisons"]}
    assert tied[frozenset(("near", "too"))] and not tied[frozenset(("near", "far"))]
    out = run("compare", "--retrained", r, *files)
    assert "near is better than far by" in out and "are tied (difference 0." in out
    # all three pairs together are right with 95 %
    assert all(pair["level"] == pytest.approx(1 - 0.05 / 3) for pair in answer["comparisons"])
    assert "98.33 % CI" in out and "Each of 3 pairs is tested at 98.33%, so that all together hold with 95%" in out


def test_one_pair_is_compared_at_95_percent(arrays, run):
    files = ["--retrained", arrays("r.npz"), arrays("one.npz", 0.3, 0.9), arrays("other.npz", 1.5, 0.5)]
    (pair,) = json.loads(run("compare", *files, "--json"))["comparisons"]
    out = run("compare", *files)
    assert pair["level"] == 0.95 and "95 % CI" in out and "Bonferroni" not in out


def test_a_mode_that_bounds_f_scores_but_compares_nothing(arrays, run):
    files = ["--retrained", arrays("r.npz"), arrays("one.npz", 0.3, 0.9), arrays("other.npz", 1.5, 0.5)]
    (pair,) = json.loads(run("compare", *files, "--mode", "certified", "--json"))["comparisons"]
    assert pair["tied"] is None and "no interval, so no comparison" in run("compare", *files, "--mode", "certified")


def test_compare_refuses_what_cannot_be_compared(arrays, refused):
    r, one = arrays("r.npz"), arrays("one.npz")
    assert "at least two candidates" in refused("compare", "--retrained", r, one)
    assert "F depends on N" in refused("compare", "--retrained", r, one, arrays("short.npz", runs=30))
    assert "same examples" in refused("compare", "--retrained", r, one, arrays("narrow.npz", examples=5))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seconds": np.full(39, 1.0)}, "`seconds` are float64 of shape (39,), but (40,) finite numbers"),
        ({"seconds": np.full(40, np.nan)}, "`seconds` are"),
        ({"seconds": np.full(40, "fast")}, "`seconds` are"),
        ({"targets": np.zeros(11, int)}, "`targets` are int64 of shape (11,), but integers of shape (12,)"),
        ({"targets": np.zeros(12)}, "`targets` are float64"),
        ({"retain_accuracy": np.full(40, 95.0)}, "accuracies lie in 0 to 1"),
        ({"forget_accuracy": np.full(40, "high")}, "unlearned_forget_accuracy has dtype <U4"),
        ({"confidences": np.zeros((0, 12))}, "at least 2 runs"),
        ({"confidences": np.zeros((4, 0))}, "1 example"),
    ],
)
def test_what_stands_beside_the_confidences_is_checked_too(refused, tmp_path, changes, said):
    fine = {"confidences": np.random.default_rng(0).normal(size=(40, 12)), "retain_accuracy": np.ones(40)}
    np.savez(tmp_path / "fine.npz", **fine)
    np.savez(tmp_path / "bad.npz", **{**fine, **changes})
    assert said in refused("score", "--retrained", tmp_path / "fine.npz", "--unlearned", tmp_path / "bad.npz")


def test_one_array_is_no_side(arrays, refused, tmp_path):
    np.save(tmp_path / "plain.npy", np.zeros((4, 3)))
    assert "is one unnamed array (.npy)" in refused("score", "--retrained", arrays("r.npz"), "--unlearned", "plain.npy")


@pytest.mark.parametrize("runs", ["0", "-5", "7", "1000000"])
def test_a_projection_goes_to_a_number_of_runs_that_makes_sense(arrays, refused, runs):
    r = arrays("r.npz")
    assert "--project" in refused("score", "--retrained", r, "--unlearned", r, "--project", runs)


@pytest.mark.parametrize("side", ["retrained", "unlearned"])
def test_a_side_without_spread_scores_0_and_is_warned_of(arrays, run, side, tmp_path):
    np.savez(tmp_path / "constant.npz", confidences=np.tile(np.arange(12.0), (40, 1)))
    sides = {"retrained": arrays("r.npz"), "unlearned": arrays("u.npz"), side: "constant.npz"}
    options = ["--retrained", sides["retrained"], "--unlearned", sides["unlearned"]]
    answer = json.loads(run("score", *options, "--json", "--per-example"))
    assert answer["score"] == 0 and "zero-variance" in [warning["name"] for warning in answer["warnings"]]
    jsonschema.validate(answer, SCHEMA)


def test_one_example_and_few_runs_are_scored(arrays, run):
    for runs, examples in ((2, 1), (3, 2), (40, 1), (8, 5)):
        size = {"runs": runs, "examples": examples}
        options = ["--retrained", arrays("r.npz", **size), "--unlearned", arrays("u.npz", 0.3, 0.9, **size)]
        jsonschema.validate(json.loads(run("score", *options, "--json", "--per-example")), SCHEMA)
