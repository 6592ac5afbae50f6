"""Built-in algorithms: their presets and their sources."""

from __future__ import annotations

import pytest

from forget512.algorithms import ALGORITHMS
from forget512.harness.candidates.built_in import built_in
from forget512.harness.candidates.finding import find_algorithms
from forget512.harness.candidates.source import built_in_files, code, imported
from forget512.harness.errors import UserError


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_built_in_has_its_defaults_unless_a_preset_or_a_setting_says_otherwise(name):
    plain = built_in(name, "a data set without presets")
    preset = built_in(name, "digits")
    assert plain.source == preset.source and plain.files == {} and plain.function is ALGORITHMS[name]
    assert plain.hyper_parameters.keys() == preset.hyper_parameters.keys()
    assert built_in(name, "digits", {"lr": 0.125}).hyper_parameters == {**preset.hyper_parameters, "lr": 0.125}
    assert plain.from_scratch == (name == "retrain")


def test_presets_are_taken_for_their_data_set():
    assert built_in("finetune", "digits").hyper_parameters != built_in("finetune", "tiny").hyper_parameters


def test_an_unknown_built_in_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"algorithm 'finetunes' is not known.*FILE\.py.*mean 'finetune'"):
        built_in("finetunes", "digits")


def test_built_ins_of_different_files_have_different_sources():
    algorithms = [built_in(name, "digits") for name in ALGORITHMS]
    assert len({a.source for a in algorithms}) == len({built_in_files(name)[0] for name in ALGORITHMS})


def test_a_built_in_consists_of_its_file_and_what_that_imports():
    own, *others = (path.name for path in built_in_files("forget_remember"))
    assert own == "forget_remember.py" and "training.py" in others
    assert not {"finetune.py", "catalogue.py", "presets.py", "__init__.py"} & set(others)


def test_of_our_code_only_what_a_candidate_imports_is_its_source():
    names = [path.name for path in imported([b"from forget512.algorithms import finetune\nimport torch"])]
    assert names == ["finetune.py", "training.py"]
    assert [path.name for path in imported([b"def f():\n    import forget512.algorithms.training as t"])] == [
        "training.py"
    ]
    assert len(imported([b"import forget512.algorithms"])) > 5 and imported([b"import os"]) == []


def test_a_preset_is_named_after_a_colon():
    kit = built_in("finetune:starting-kit", "digits")
    assert (kit.name, kit.method) == ("finetune:starting-kit", "finetune")
    assert kit.hyper_parameters["epochs"] == 5 and kit.hyper_parameters["lr"] == 0.1
    assert built_in("finetune:kaggle", "digits").hyper_parameters == built_in("finetune", "none").hyper_parameters
    assert built_in("finetune:small", "digits").hyper_parameters == built_in("finetune", "digits").hyper_parameters
    with pytest.raises(UserError, match="preset of finetune on digits"):
        built_in("finetune:smal", "digits")


def test_all_are_all_but_the_reference():
    names = [a.name for a in find_algorithms(["all"], [], "digits")]
    assert sorted([*names, "retrain"]) == sorted(ALGORITHMS)


def test_rewording_comments_and_docstrings_of_our_code_makes_no_new_source(write):
    plain = '"""A module."""\nX = 1\n\ndef f(x):\n    """Adds."""\n    y = x + 1\n    return y\n'
    reworded = (
        '"""Said otherwise."""\n\nX = 1  # one\ndef f(x):\n    """Adds\n\n    one."""\n'
        "    # so\n    y = (x + 1)\n    return y"
    )
    assert code(write(plain, "a.py")) == code(write(reworded, "b.py"))


@pytest.mark.parametrize(
    "change",
    [("x + 1", "x + 2"), ("X = 1", "X = 2"), ("(x)", "(x, z=3)"), ("return y", "return x"), ("'text'", "'word'")],
)
def test_changing_our_code_makes_a_new_source(write, change):
    plain = "X = 1\ndef f(x):\n    y = x + 1\n    print('text')\n    return y\n"
    assert code(write(plain, "a.py")) != code(write(plain.replace(*change), "b.py"))
