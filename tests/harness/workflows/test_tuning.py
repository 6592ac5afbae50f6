"""Sweeping: the development split, grids, and what is chosen."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from forget512.algorithms import ALGORITHMS
from forget512.harness.benchmark.development import development
from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.built_in import built_in
from forget512.harness.candidates.finding import find_algorithms
from forget512.harness.candidates.settings import with_settings
from forget512.harness.errors import UserError
from forget512.harness.results.board import leaderboard
from forget512.harness.views.tuning_tables import show_sweep
from forget512.harness.workflows.tuning import Setting, best, log_lines, settings_of, trials


@pytest.mark.parametrize("options", [{}, {"forget_fraction": 0.3}, {"split_seed": 4}])
def test_development_shares_neither_forget_nor_test_images_with_what_is_scored(make_tiny, options):
    scored = make_tiny(**options)
    found = development(scored)
    ours, theirs = found.split, scored.split
    assert len(ours.forget) == len(theirs.forget) and not np.intersect1d(ours.forget, theirs.forget).size
    train = np.concatenate([ours.retain, ours.forget])
    assert np.array_equal(np.sort(train), np.arange(len(scored.dataset.y_train)))
    held = np.concatenate([ours.validation, ours.test])
    assert np.array_equal(np.sort(held), theirs.validation) and len(ours.test)
    assert found.fingerprint != scored.fingerprint
    assert (found.recipe, found.model, found.precision) == (scored.recipe, scored.model, scored.precision)


def test_it_is_drawn_by_the_benchmark_and_always_the_same(make_tiny):
    assert development(make_tiny()).fingerprint == development(make_tiny()).fingerprint
    assert development(make_tiny()).fingerprint != development(make_tiny(split_seed=1)).fingerprint


def test_where_a_class_is_forgotten_development_forgets_another(make_tiny):
    scored = make_tiny(forget_class=1)
    labels = scored.dataset.y_train[development(scored).split.forget]
    assert len(set(labels)) == 1 and labels[0] != 1
    assert len(labels) == np.sum(scored.dataset.y_train == labels[0])


@pytest.fixture
def persons(tmp_path):
    """persons([5, 4, …]): 60 training images by person, p0 with five, p1 with four, …, the last with the rest."""

    def make(sizes):
        owner = [i for i, size in enumerate([*sizes, 60 - sum(sizes)]) for _ in range(size)]
        owner = np.random.RandomState(0).permutation(owner)
        path = tmp_path / "persons.csv"
        path.write_text("index,group\n" + "".join(f"{i},p{person}\n" for i, person in enumerate(owner)))
        return path, owner

    return make


@hypothesis.given(
    sizes=st.lists(st.integers(1, 8), min_size=6, max_size=7), fraction=st.floats(0.02, 0.3), seed=st.integers(0, 99)
)
@hypothesis.settings(
    max_examples=25, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
def test_where_groups_are_forgotten_development_forgets_other_whole_groups(make_tiny, persons, sizes, fraction, seed):
    path, owner = persons(sizes)
    try:
        scored = make_tiny(forget_groups=str(path), forget_fraction=fraction, split_seed=seed)
        split = development(scored).split
    except UserError as error:
        assert "groups" in str(error)  # about one in thirty of these
        return
    ours = set(owner[split.forget])
    assert not ours & set(owner[scored.split.forget]) and not ours & set(owner[split.retain])
    assert np.array_equal(np.sort([*split.forget, *split.retain]), np.arange(60))
    assert abs(len(split.forget) - len(scored.split.forget)) <= max(np.bincount(owner))
    assert set(owner[split.retain]) - set(owner[scored.split.forget])  # something of what is retained there


def test_groups_that_a_user_names_are_groups_and_each_split_seed_draws_its_own(make_tiny, persons):
    path, owner = persons([5] * 11)
    splits = [development(make_tiny(forget_groups=f"{path}:p2,p7", split_seed=seed)).split for seed in range(6)]
    drawn = {tuple(sorted(set(owner[split.forget]))) for split in splits}
    assert len(drawn) > 1 and all(len(pair) == 2 and not {2, 7} & set(pair) for pair in drawn)


@pytest.mark.parametrize(("sizes", "names"), [([20], "p0"), ([20, 20], "p0,p1"), ([40, 5, 5, 5], "p0")])
def test_too_few_groups_for_a_development_split_are_one_sentence(make_tiny, persons, sizes, names):
    path, _ = persons(sizes)
    with pytest.raises(
        UserError, match=r"too few for a development split, which forgets other whole groups, .* Forget fewer groups"
    ):
        development(make_tiny(forget_groups=f"{path}:{names}"))


def test_a_random_benchmarks_development_split_is_the_one_that_stores_hold():
    assert development(make_benchmark("digits")).fingerprint.startswith("79d23b2fb608")


def test_too_few_images_for_a_development_split_are_one_sentence(make_tiny):
    with pytest.raises(UserError, match="too few images for a development split"):
        development(make_tiny(forget_fraction=0.9))


def test_a_grid_is_every_combination_of_the_values_that_an_algorithm_has():
    algorithms = [built_in(name, "digits") for name in ("finetune", "scrub")]
    found = settings_of(algorithms, [], ["lr=0.1,0.2", "alpha=0.5,0.25"], "digits")
    names = [setting.algorithm.name for setting in found]
    assert names == [
        "finetune lr=0.1",
        "finetune lr=0.2",
        *(f"scrub lr={lr} alpha={alpha}" for lr in (0.1, 0.2) for alpha in (0.5, 0.25)),
    ]
    assert found[-1].algorithm.hyper_parameters["alpha"] == 0.25 and found[-1].point == {"lr": 0.2, "alpha": 0.25}


def test_lists_and_words_are_values():
    algorithm = built_in("forget_remember", "digits")
    found = settings_of([algorithm], [], ["draws=(1,2,1),(2,2,2)", "loss=mse,ce"], "digits")
    assert [(s.point["draws"], s.point["loss"]) for s in found] == [
        ([1, 2, 1], "mse"), ([1, 2, 1], "ce"), ([2, 2, 2], "mse"), ([2, 2, 2], "ce"),
    ]  # fmt: skip


def test_the_same_setting_is_tried_once():
    assert len(settings_of([built_in("finetune", "digits")], [], ["lr=0.1,0.1"], "digits")) == 1


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [
        ("lr", "write NAME=V1,V2"),
        ("lr=", "write NAME=V1,V2"),
        ("rate=0.1", "hyper-parameter 'rate' is not known"),
        ("lr=fast,slow", "'fast' is a str"),
        ("lr=0.1,fast", "'fast' is a str"),
        ("lr=0.1],[0.2", "write NAME=V1,V2"),
    ],
)
def test_a_grid_that_does_not_fit_is_one_sentence(grid, sentence):
    with pytest.raises(UserError, match=sentence):
        settings_of([built_in("finetune", "digits")], [], [grid], "digits")


@pytest.mark.parametrize("dataset", ["digits", "cifar10-mini"])
def test_our_own_grids_are_of_values_that_the_methods_have(dataset):
    for name in ALGORITHMS:
        if name not in ("retrain", "original"):
            found = settings_of([built_in(name, dataset)], [], [], dataset)
            assert 3 <= len(found) <= 6, name


def test_a_data_set_may_have_grids_of_its_own():
    digits, mini = (settings_of([built_in("seif", name)], [], [], name) for name in ("digits", "cifar10-mini"))
    assert [setting.point["lr"] for setting in mini] == [2 * setting.point["lr"] for setting in digits]


def test_an_algorithm_without_a_grid_needs_one(tmp_path):
    path = tmp_path / "idea.py"
    path.write_text("def unlearning(net, retain, forget, validation, lr=0.1): pass")
    algorithms = find_algorithms([str(path)], [], "digits")
    with pytest.raises(UserError, match=r"idea@\w+ has no built-in grid: give --grid"):
        settings_of(algorithms, [], [], "digits")
    assert len(settings_of(algorithms, [], ["lr=1,2.5"], "digits")) == 2


def test_words_with_hyphens_are_words():
    found = settings_of([built_in("forget_remember", "digits")], [], ["pool=all,no-fc,no-fc-no-shortcut"], "digits")
    assert [setting.point["pool"] for setting in found] == ["all", "no-fc", "no-fc-no-shortcut"]


def test_a_grid_of_one_algorithm_is_its_alone():
    algorithms = [built_in("finetune", "digits"), built_in("neggrad", "digits")]
    found = settings_of(algorithms, [], ["finetune.lr=0.5,0.6", "epochs=4"], "digits")
    assert [(s.algorithm.method, s.point) for s in found] == [
        ("finetune", {"lr": 0.5, "epochs": 4}),
        ("finetune", {"lr": 0.6, "epochs": 4}),
        ("neggrad", {"epochs": 4}),
    ]


@pytest.mark.parametrize("again", ["lr=0.3", "finetune.lr=0.3"])
def test_values_given_twice_are_one_sentence(again):
    with pytest.raises(UserError, match="gives lr of finetune twice: give all its values at once"):
        settings_of([built_in("finetune", "digits")], [], ["lr=0.1,0.2", again], "digits")


def test_every_preset_is_a_setting_that_its_grid_tries():
    for name, method in ALGORITHMS.items():
        for dataset in method.small:
            preset = built_in(name, dataset)
            found = settings_of([preset], [], [], dataset)
            assert preset.bank in [setting.algorithm.bank for setting in found], (name, dataset)


def test_the_set_line_gives_the_very_setting_that_was_tried():
    """On top of what the bare name stands for, presets included."""
    names = [name for name in ALGORITHMS if name != "retrain"]
    for setting in settings_of([built_in(name, "digits") for name in names], [], [], "digits"):
        named = built_in(setting.algorithm.method, "digits")
        lines = [part for part in shlex.split(setting.set_line) if part != "--set"]
        assert with_settings([named], lines)[0].bank == setting.algorithm.bank, setting.algorithm.name


@pytest.mark.parametrize("name", ["idea", "my idea", "it's", "v1.2", "a@b"])
@pytest.mark.parametrize("value", ["two words", "it's", "1", "None", "", "plain", [True, False], ["a b", "1"], 0.5])
def test_the_set_line_can_be_given_in_a_shell_whatever_is_in_it(name, value):
    default = {str: "x", list: [], float: 1.0}[type(value)]
    named = Algorithm(f"{name}@12345678", f"{name}@12345678", {"how": default}, "source")
    setting = Setting(replace(named, name=f"{named.name} how={value}"), {"how": value}, {"how": value})
    option, word = shlex.split(setting.set_line)
    assert option == "--set" and with_settings([named], [word])[0].hyper_parameters == {"how": value}


def test_what_was_set_beside_the_grid_is_in_the_set_line():
    (one, other) = settings_of([built_in("ssd", "digits")], ["samples=50"], ["alpha=2.0,3.0"], "digits")
    assert one.algorithm.hyper_parameters["samples"] == other.algorithm.hyper_parameters["samples"] == 50
    assert one.set_line == "--set ssd.alpha=2.0 --set ssd.samples=50"


@pytest.mark.parametrize(("name", "settings"), [("seif", ["sigma=0.3"]), ("finetune:starting-kit", [])])
def test_our_own_grids_stand_on_published_settings_alone(name, settings):
    with pytest.raises(UserError, match="give --grid as well"):
        settings_of([built_in(name, "digits")], settings, [], "digits")


def test_the_best_keeps_the_limit_of_time_and_ties_share_a_rank(filled, shown):
    evaluation = filled(40, finetune=(1.0, 0.5, 40), forget_remember=(0.2, 0.9, 40))
    settings = [Setting(algorithm, {}, {}) for algorithm in evaluation.algorithms]
    made = trials(settings, [leaderboard(evaluation, project_to=None)])
    assert [(t.setting.algorithm.name, t.row.rank) for t in made] == [("forget_remember", 1), ("finetune", 2)]
    assert [t.setting.algorithm.name for t in best(made)] == ["forget_remember", "finetune"]
    lines = [json.loads(line) for line in log_lines(made, evaluation.benchmark)]
    assert lines[0]["rank"] == 1 and lines[0]["hyper_parameters"]["loss"] == "mse" and lines[0]["runs"] == 40
    text = shown(show_sweep(made, best(made), evaluation.benchmark))
    assert "best: forget_remember: as it is" in text and "Scores are from the development split" in text
    assert "Warning" not in text


def test_a_setting_without_a_score_is_never_the_best(filled):
    evaluation = filled(40, finetune=(1.0, 0.5, 40), forget_remember=(0.2, 0.9, 7))
    settings = [Setting(replace(a, method="one"), {}, {}) for a in evaluation.algorithms]
    made = trials(settings, [leaderboard(evaluation, project_to=None)])
    assert [t.setting.algorithm.name for t in best(made)] == ["finetune"]


def test_a_sweep_shows_the_warnings_of_its_rows(filled, shown):
    evaluation = filled(10, finetune=(1.0, 0.5, 10))
    made = trials([Setting(a, {}, {}) for a in evaluation.algorithms], [leaderboard(evaluation, project_to=None)])
    assert "Warning (few-runs): finetune: " in shown(show_sweep(made, best(made), evaluation.benchmark))
