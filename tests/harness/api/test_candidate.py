"""Candidates with settings and names of their own."""

from __future__ import annotations

import pytest

from forget512 import Candidate, UserError, published_settings
from forget512.harness.api.candidate import find_candidates
from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.candidates.finding import find_algorithms
from forget512.harness.workflows.reproduction import load_reproduction

IDEA = "def unlearning(net, retain, forget, validation, lr=0.1, steps=(1, 2)):\n    return net\n"


def found(*wanted, settings=()):
    return find_candidates(wanted, settings, "digits", None)[0]


@pytest.fixture
def idea(tmp_path):
    (tmp_path / "idea.py").write_text(IDEA)
    return tmp_path / "idea.py"


def test_settings_make_another_bank_and_another_name(idea):
    one, other, plain = found(Candidate(idea, {"lr": 0.2}), Candidate(idea, {"lr": 0.3}, "fast"), idea)
    assert one.name == f"{plain.name} (lr=0.2)" and other.name == "fast"
    assert [each.hyper_parameters["lr"] for each in (one, other, plain)] == [0.2, 0.3, 0.1]
    assert len({each.bank for each in (one, other, plain)}) == 3


def test_it_is_the_bank_that_the_command_line_fills(idea):
    [own] = found(Candidate(idea, {"lr": 1, "steps": [3]}))
    [command] = find_algorithms([str(idea)], ["lr=1", "steps=3"], "digits")
    assert own.bank == command.bank


def test_settings_of_the_call_reach_every_candidate(idea):
    both = found(Candidate(idea, {"steps": [5]}), "finetune", settings=["lr=0.7"])
    assert [each.hyper_parameters["lr"] for each in both] == [0.7, 0.7]


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"lrr": 0.1}, "Did you mean 'lr'"), ({"lr": "fast"}, "is a str, but the default 0.1 is a float")],
)
def test_a_setting_that_does_not_fit_is_one_sentence(idea, settings, message):
    with pytest.raises(UserError, match=message):
        found(Candidate(idea, settings))


def test_a_file_that_cannot_be_read_does_not_stop_the_others(idea, tmp_path):
    (tmp_path / "bad.py").write_text("raise ValueError('no')\n")
    usable, refused = find_candidates([idea, Candidate(tmp_path / "bad.py", {"lr": 1})], (), "digits", None)
    assert len(usable) == len(refused) == 1 and "bad.py" in refused[0]


def test_published_settings_are_the_banks_of_reproduce():
    rows = load_reproduction("writeup-8th-place", make_benchmark("digits")).algorithms
    own = found(*published_settings("writeup-8th-place").values())
    assert [(each.name, each.bank) for each in own] == [(each.name, each.bank) for each in rows]
