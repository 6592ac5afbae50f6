"""Recipes from users' files."""

from __future__ import annotations

import dataclasses

import pytest

from harness.benchmark import DEFAULTS, make_benchmark
from harness.errors import UserError
from harness.recipe import read_recipe

USUAL = DEFAULTS["digits"][1]


@pytest.fixture
def recipe(tmp_path):
    def write(text):
        (tmp_path / "recipe.toml").write_text(text)
        return tmp_path / "recipe.toml"

    return write


def test_what_the_file_names_is_taken_and_the_rest_is_as_usual(recipe):
    found = read_recipe(recipe("lr = 0.05\nbatch_size = 32\n# a comment\npadding = 1"), USUAL)
    assert found == dataclasses.replace(USUAL, lr=0.05, batch_size=32, padding=1)


def test_an_empty_file_is_the_usual_recipe_and_the_usual_benchmark(recipe):
    benchmark = make_benchmark("digits", recipe=recipe(""))
    assert benchmark.fingerprint.startswith("a83e752f047c")  # as it was before there were recipe files


def test_a_file_of_epochs_alone_is_the_benchmark_of_the_option(recipe):
    one, other = make_benchmark("digits", recipe=recipe("epochs = 2")), make_benchmark("digits", epochs=2)
    assert one.fingerprint == other.fingerprint


def test_a_whole_number_is_a_number(recipe):
    assert read_recipe(recipe("lr = 1\nwarmup = 2"), USUAL) == read_recipe(recipe("lr = 1.0\nwarmup = 2.0"), USUAL)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("learning_rate = 0.1", "key 'learning_rate' is not known: choose from epochs, batch_size, lr"),
        ("optimizer = 'adam'", "key 'optimizer' is not known"),
        ("epoch = 3", "Did you mean 'epochs'?"),
        ("epochs = 2.5", "epochs = 2.5 is not allowed: give a whole number"),
        ("epochs = true", "epochs = True is not allowed"),
        ("lr = 'fast'", "lr = 'fast' is not allowed: give a number"),
        ("lr = nan", "lr = nan is not allowed"),
        ("lr = 0", "lr = 0.0 is not allowed: give above 0"),
        ("epochs = 0", "epochs = 0 is not allowed: give at least 1"),
        ("batch_size = 1", "batch norm"),
        ("momentum = 0", "momentum = 0.0 is not allowed"),
        ("warmup = 7", "from 0 to the 6 epochs"),
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
