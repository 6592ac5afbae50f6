"""Hyper-parameters as `--set` gives them."""

from __future__ import annotations

import pytest

from forget512.algorithms import ALGORITHMS
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.built_in import built_in
from forget512.harness.candidates.files import load_candidates
from forget512.harness.candidates.settings import with_settings
from forget512.harness.errors import UserError


def algorithm(name: str = "idea@12345678", **hyper_parameters) -> Algorithm:
    return Algorithm(name, name, hyper_parameters, "source")


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [
        (3, "5", 5),
        (0.1, "0.5", 0.5),
        (0.1, "1e-3", 1e-3),
        (0.1, "2", 2.0),
        ("cosine", "linear", "linear"),
        ("cosine", "'linear'", "linear"),
        ("a", "b=c", "b=c"),
        (True, "False", False),
        ([1, 2], "(3, 4)", [3, 4]),
        ([1, 2], "[3,4]", [3, 4]),
        ([1, 2], "3", [3]),
        ([1, 2], "3,4", [3, 4]),
        (None, "7", 7),
        (None, "(1, 2)", [1, 2]),
        (0.1, "None", None),
        ({"a": 1}, "{'a': 2}", {"a": 2}),
    ],
)
def test_a_setting_takes_the_kind_of_its_default(default, text, value):
    (found,) = with_settings([algorithm(x=default)], [f"x={text}"])
    assert found.hyper_parameters["x"] == value and type(found.hyper_parameters["x"]) is type(value)


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [
        ([1, 2], "1.0,2.0", [1, 2]),
        ([1, 2], "1.5,2", [1.5, 2]),
        ([0.1], "1,2", [1.0, 2.0]),
        ([0.1, 1], "1", [1.0]),
        ([True], "1, False", None),
        ([1, 2], "1,'x'", None),
        ([1, 2], "1,True", None),
        ([0.1], "None,", None),
        (["a"], "'b','c'", ["b", "c"]),
        (["a"], "'b',1", None),
        ([[1]], "[2],", [[2]]),
        ([[1]], "[2],3", None),
        ([], "1,2.0", [1, 2.0]),
    ],
)
def test_a_lists_elements_take_the_kind_of_its_defaults(default, text, value):
    if value is None:
        with pytest.raises(UserError, match=r"--set x=.* is a .*, but the default .* holds"):
            with_settings([algorithm(x=default)], [f"x={text}"])
        return
    (found,) = with_settings([algorithm(x=default)], [f"x={text}"])
    assert repr(found.hyper_parameters["x"]) == repr(value)


def test_settings_that_mean_the_same_have_one_bank():
    banks = [with_settings([algorithm(x=[1, 2])], [f"x={text}"])[0].bank for text in ("1,1", "1.0,1.0", "[1, 1.0]")]
    assert len(set(banks)) == 1


def test_a_list_of_whole_numbers_may_be_given_a_fraction():
    (found,) = with_settings([algorithm(x=[1, 5])], ["x=1,0.5"])
    assert found.hyper_parameters["x"] == [1, 0.5]
    with pytest.raises(UserError, match=r"x=1,'a': 'a' is a str, .* holds ints"):
        with_settings([algorithm(x=[1, 5])], ["x=1,'a'"])


@pytest.mark.parametrize("first_line", ["", "from __future__ import annotations"])
def test_a_whole_default_of_what_a_file_calls_a_float_may_be_set_to_a_fraction(write, first_line):
    head = "def unlearning(net, retain, forget, validation, *, epochs: float = 3):"
    plain = load_candidates([write(f"{first_line}\n{head}\n    return net\n")])[0]
    (half,), (whole,), (same,) = (with_settings([plain], [f"epochs={value}"]) for value in ("2.5", "4", "3.0"))
    assert half.hyper_parameters == {"epochs": 2.5} and half.bank != plain.bank
    assert type(whole.hyper_parameters["epochs"]) is int and same.bank == plain.bank
    with pytest.raises(UserError, match="'many' is a str, but the default 3 is a int"):
        with_settings([plain], ["epochs=many"])


def test_what_a_file_calls_a_whole_number_stays_one(write):
    with pytest.raises(UserError, match=r"2\.5 is a float, but the default 3 is a int"):
        with_settings(
            [
                load_candidates(
                    [write("def unlearning(net, retain, forget, validation, *, epochs: int = 3):\n    return net\n")]
                )[0]
            ],
            ["epochs=2.5"],
        )


@pytest.mark.parametrize("name", sorted(name for name, method in ALGORITHMS.items() if "epochs" in method.fractional))
def test_epochs_of_a_built_in_may_be_a_fraction_where_its_signature_says_float(name):
    plain = built_in(name, "a data set without presets")
    (half,) = with_settings([plain], ["epochs=2.5"])
    assert half.hyper_parameters["epochs"] == 2.5
    assert with_settings([plain], ["epochs=2.5", "epochs=4"]) == with_settings([plain], ["epochs=4.0"])
    assert with_settings([plain], [f"epochs={plain.hyper_parameters['epochs']}"])[0].bank == plain.bank


@pytest.mark.parametrize(
    ("default", "text"),
    [(3, "0.5"), (3, "three"), (0.1, "fast"), (True, "1"), (True, "yes"), (3, "True"), ("a", "3"), (0.1, "[0.1]")],
)
def test_a_setting_of_another_kind_is_refused(default, text):
    with pytest.raises(UserError, match=f"but the default {default!r} is a {type(default).__name__}"):
        with_settings([algorithm(x=default)], [f"x={text}"])


@pytest.mark.parametrize("text", ["1e999", "-1e999", "1j", "b'x'", "{1, 2}", "{(1,): 2}", "[1e999]"])
def test_a_setting_that_is_no_plain_value_is_refused(text):
    with pytest.raises(UserError, match="--set x="):
        with_settings([algorithm(x=None)], [f"x={text}"])


@pytest.mark.parametrize("setting", ["lr", "=1", "", "idea.=1"])
def test_a_malformed_setting_is_refused(setting):
    with pytest.raises(UserError, match=r"write name=value or algorithm\.name=value"):
        with_settings([algorithm(lr=0.1)], [setting])


def test_a_setting_reaches_every_algorithm_that_has_it_and_leaves_the_others_as_they_are():
    one, two, three = algorithm("one", lr=0.1), algorithm("two", lr=0.2, epochs=1), algorithm("three", epochs=1)
    found = with_settings([one, two, three], ["lr=0.5"])
    assert [a.hyper_parameters for a in found] == [{"lr": 0.5}, {"lr": 0.5, "epochs": 1}, {"epochs": 1}]
    assert one.hyper_parameters == {"lr": 0.1}


@pytest.mark.parametrize("owner", ["idea", "idea@12345678"])
def test_a_setting_with_an_owner_reaches_that_one_alone(owner):
    found = with_settings([algorithm(lr=0.1), algorithm("finetune", lr=0.1)], [f"{owner}.lr=0.5"])
    assert [a.hyper_parameters["lr"] for a in found] == [0.5, 0.1]


def test_the_owner_may_have_a_dot_in_its_name_and_the_value_too():
    (found,) = with_settings([algorithm("idea.v2@12345678", lr=0.1)], ["idea.v2.lr=0.25"])
    assert found.hyper_parameters["lr"] == 0.25


def test_the_last_of_two_settings_holds():
    (found,) = with_settings([algorithm(lr=0.1)], ["lr=0.5", "lr=0.7"])
    assert found.hyper_parameters["lr"] == 0.7


@pytest.mark.parametrize("key", ["epoch", "idea.epoch"])
def test_an_unknown_hyper_parameter_is_refused_with_the_nearest(key):
    with pytest.raises(UserError, match=r"hyper-parameter 'epoch' is not known: choose from epochs, lr\..*'epochs'"):
        with_settings([algorithm(lr=0.1, epochs=1)], [f"{key}=3"])


def test_a_setting_for_an_algorithm_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="no algorithm 'other' in this command"):
        with_settings([algorithm(lr=0.1)], ["other.lr=3"])


def test_a_setting_for_algorithms_without_hyper_parameters_is_refused():
    with pytest.raises(UserError, match="these algorithms have no hyper-parameters"):
        with_settings([algorithm()], ["lr=3"])
