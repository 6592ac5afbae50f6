"""Built-in algorithms: their presets and their sources."""

from __future__ import annotations

import pytest

from forget512.algorithms import ALGORITHMS, versions
from forget512.harness.candidates.built_in import built_in
from forget512.harness.candidates.finding import find_algorithms
from forget512.harness.candidates.source import check_recorded
from forget512.harness.errors import UserError


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_built_in_has_its_defaults_unless_a_preset_or_a_setting_says_otherwise(name):
    plain = built_in(name, "a data set without presets")
    preset = built_in(name, "digits")
    assert plain.source == preset.source and plain.files == {} and plain.function is ALGORITHMS[name].function
    assert plain.hyper_parameters.keys() == preset.hyper_parameters.keys()
    assert built_in(name, "digits", {"lr": 0.125}).hyper_parameters == {**preset.hyper_parameters, "lr": 0.125}
    assert plain.from_scratch == (name == "retrain")


def test_presets_are_taken_for_their_data_set():
    assert built_in("finetune", "digits").hyper_parameters != built_in("finetune", "tiny").hyper_parameters


def test_an_unknown_built_in_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"algorithm 'finetunes' is not known.*FILE\.py.*mean 'finetune'"):
        built_in("finetunes", "digits")


def test_built_ins_of_different_modules_have_different_sources():
    algorithms = [built_in(name, "digits") for name in ALGORITHMS]
    assert len({a.source for a in algorithms}) == len({method.module for method in ALGORITHMS.values()})


def test_the_version_of_a_module_is_part_of_the_source_of_each_method_that_uses_it(monkeypatch):
    before = {name: built_in(name, "digits").source for name in ALGORITHMS}
    raised = {**versions.recorded(), "random_labels": versions.Recorded(2, "")}
    monkeypatch.setattr(versions, "recorded", lambda: raised)
    changed = {name for name in ALGORITHMS if built_in(name, "digits").source != before[name]}
    assert changed == {"random_labels", "salun"}


def test_code_that_is_not_recorded_is_listed_and_not_run(monkeypatch):
    old = {**versions.recorded(), "layers": versions.Recorded(1, "0" * 64)}
    del old["training"]
    monkeypatch.setattr(versions, "recorded", lambda: old)
    assert find_algorithms(["finetune", "cf_k"], [], "digits")
    message = r"^the code of layers, training in algorithms/ differs .* else with --bump layers training\.$"
    for methods, sources in ((["cf_k"], []), ([], [b"from forget512.algorithms.tools import layers"])):
        with pytest.raises(UserError, match=message):
            check_recorded(methods, sources)
    check_recorded([], [b"import torch"])


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
