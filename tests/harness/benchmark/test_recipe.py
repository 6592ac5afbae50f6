"""Recipes from users' files."""

from __future__ import annotations

import dataclasses

import pytest

from forget512.algorithms.baselines import retrain
from forget512.harness.benchmark.making import DEFAULTS, make_benchmark
from forget512.harness.benchmark.recipe import OPTIMIZERS, SCHEDULES, read_recipe
from forget512.harness.candidates.built_in import built_in
from forget512.harness.errors import UserError

USUAL = DEFAULTS["digits"][1]


@pytest.fixture
def recipe(tmp_path):
    def write(text):
        (tmp_path / "recipe.toml").write_text(text)
        return tmp_path / "recipe.toml"

    return write


def test_a_recipe_knows_the_optimizers_schedules_and_mirroring_of_retrain():
    assert (tuple(retrain.OPTIMIZERS), tuple(retrain.SCHEDULES)) == (OPTIMIZERS, SCHEDULES)
    for padding in (0, 4):
        assert dataclasses.replace(USUAL, padding=padding).values["mirror"] == retrain.usual_mirror(padding)


def test_what_the_file_names_is_taken_and_the_rest_is_as_usual(recipe):
    found = read_recipe(recipe("lr = 0.05\nbatch_size = 32\n# a comment\npadding = 1"), USUAL)
    assert found == dataclasses.replace(USUAL, lr=0.05, batch_size=32, padding=1)


def test_an_empty_file_is_the_usual_recipe_and_the_usual_benchmark(recipe):
    benchmark = make_benchmark("digits", recipe=recipe(""))
    assert benchmark.fingerprint.startswith("a83e752f047c")  # as it was before there were recipe files


def test_a_file_of_epochs_alone_is_the_benchmark_of_the_option(recipe):
    one, other = make_benchmark("digits", recipe=recipe("epochs = 2")), make_benchmark("digits", epochs=2)
    assert one.fingerprint == other.fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("", "optimizer = 'sgd'\nschedule = 'cosine'\nmirror = 0"),
        ("padding = 2", "padding = 2\nmirror = 0.5"),
        ("schedule = 'steps'\nmilestones = [3]", "schedule = 'steps'\nmilestones = [3.0]\nfactor = 0.1"),
    ],
)
def test_what_is_usual_may_be_said_or_left_out(recipe, one, other):
    found = []
    for text in (one, other):
        benchmark = make_benchmark("digits", recipe=recipe(text))
        found.append((benchmark.fingerprint, benchmark.recipe.hyper_parameters))
    assert found[0] == found[1]


def test_what_is_unusual_is_another_benchmark_and_reaches_retraining(recipe):
    texts = (
        "",
        "padding = 2",
        "padding = 2\nmirror = 0",
        "mirror = 0.5",
        "optimizer = 'adam'\nlr = 0.1",
        "optimizer = 'adamw'\nlr = 0.1",
        "schedule = 'linear'",
        "schedule = 'constant'",
        "schedule = 'steps'\nmilestones = [3]",
        "schedule = 'steps'\nmilestones = [3, 5]",
        "schedule = 'steps'\nmilestones = [3]\nfactor = 0.2",
    )
    benchmarks = [make_benchmark("digits", recipe=recipe(text)) for text in texts]
    assert len({each.fingerprint for each in benchmarks}) == len(texts)
    assert len({built_in("retrain", "digits", each.recipe.hyper_parameters).bank for each in benchmarks}) == len(texts)
    assert (
        benchmarks[-1].recipe.hyper_parameters["milestones"] == [3.0] and "factor" in benchmarks[-1].identity["recipe"]
    )
    assert "momentum" not in benchmarks[4].identity["recipe"]  # Adam has none of SGD's


def test_a_whole_number_is_a_number(recipe):
    assert read_recipe(recipe("lr = 1\nwarmup = 2"), USUAL) == read_recipe(recipe("lr = 1.0\nwarmup = 2.0"), USUAL)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("learning_rate = 0.1", "key 'learning_rate' is not known: choose from epochs, batch_size, lr"),
        ("optimiser = 'adam'", "Did you mean 'optimizer'?"),
        (
            "optimizer = 'adan'\nlr = 0.1",
            "optimizer 'adan' is not known: choose from sgd, adam, adamw. Did you mean 'adam'",
        ),
        ("optimizer = 3", "optimizer = 3 is not allowed: give a text in quotes"),
        ("optimizer = 'adam'", "the default lr = 0.1 is for sgd: give an lr for adam"),
        ("optimizer = 'adam'\nlr = 1e-3\nmomentum = 0.9", "momentum is for sgd, but the optimizer is adam"),
        ("schedule = 'cosin'", "schedule 'cosin' is not known: choose from cosine, linear, constant, steps."),
        ("schedule = 'steps'", "needs milestones: give a list of epochs"),
        ("schedule = 'steps'\nmilestones = []", "needs milestones: give a list of epochs"),
        ("schedule = 'steps'\nmilestones = 3", "milestones = 3 is not allowed: give a list of numbers"),
        ("schedule = 'steps'\nmilestones = ['3']", "milestones = ['3'] is not allowed: give a list of numbers"),
        ("schedule = 'steps'\nmilestones = [4, 3]", "milestones = [4.0, 3.0] is not allowed: give ascending epochs"),
        ("schedule = 'steps'\nmilestones = [3, 3]", "give ascending epochs"),
        ("schedule = 'steps'\nmilestones = [0, 3]", "above 0 and below 6"),
        ("schedule = 'steps'\nmilestones = [6]", "above 0 and below 6"),
        ("schedule = 'steps'\nmilestones = [3]\nfactor = 1", "factor = 1.0 is not allowed: give above 0 and below 1"),
        ("milestones = [3]", "milestones is for the schedule 'steps', but the schedule is 'cosine'"),
        ("schedule = 'linear'\nfactor = 0.1", "factor is for the schedule 'steps', but the schedule is 'linear'"),
        ("mirror = 1.5", "mirror = 1.5 is not allowed: give a share of the images, from 0 to 1"),
        ("mirror = true", "mirror = True is not allowed: give a number"),
        (f"epochs = 1{400 * '0'}", "is not allowed: give a whole number"),
        (f"lr = 1{400 * '0'}", "is not allowed: give a number"),
        ("epoch = 3", "Did you mean 'epochs'?"),
        ("epochs = 2.5", "epochs = 2.5 is not allowed: give a whole number"),
        ("epochs = true", "epochs = True is not allowed"),
        ("lr = 'fast'", "lr = 'fast' is not allowed: give a number"),
        ("lr = nan", "lr = nan is not allowed"),
        ("lr = 0", "lr = 0.0 is not allowed: give above 0"),
        ("epochs = 0", "epochs = 0 is not allowed: give at least 1"),
        ("batch_size = 1", "batch norm"),
        ("momentum = 0", "momentum = 0.0 is not allowed"),
        ("warmup = 7", "from 0 to the number of epochs, 6"),
        ("weight_decay = -1", "weight_decay = -1.0"),
        ("padding = -1", "padding = -1"),
        ("[lr]\nvalue = 3", "lr = {'value': 3} is not allowed"),
        ("lr: 0.1", "cannot be read as TOML"),
    ],
)
def test_what_does_not_fit_is_one_line(recipe, text, said):
    with pytest.raises(UserError) as caught:
        read_recipe(recipe(text), USUAL)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_and_two_answers_are_one_line(recipe, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_recipe(tmp_path / "none.toml", USUAL)
    with pytest.raises(UserError, match="both choose the recipe"):
        make_benchmark("digits", recipe=recipe("lr = 0.1"), epochs=3)
