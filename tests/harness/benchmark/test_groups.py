"""Forget sets of whole groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forget512.harness.benchmark.groups import choose_groups
from forget512.harness.errors import UserError


@pytest.fixture(scope="module")
def persons(tmp_path_factory):
    """60 training images of 12 persons, five each, by turns."""
    path = tmp_path_factory.mktemp("groups") / "persons.csv"
    path.write_text("index,group\n" + "".join(f"{i},p{i % 12}\n" for i in range(60)))
    return path


def of(indices):
    return {int(i) % 12 for i in indices}


def test_the_named_groups_are_forgotten_whole(make_tiny, persons):
    split = make_tiny(forget_groups=f"{persons}:p3,p11").split
    assert split.forget.tolist() == [i for i in range(60) if i % 12 in (3, 11)]
    assert len(split.retain) == 50


@given(fraction=st.floats(0.01, 0.9), seed=st.integers(0, 2**32 - 1))
def test_whole_groups_are_drawn_until_the_share_is_reached_and_not_beyond(persons, fraction, seed):
    forget, groups = choose_groups(str(persons), 60, fraction, np.random.RandomState(seed))
    assert [len(set(groups[k::12])) for k in range(12)] == [1] * 12 and len(set(groups)) == 12
    assert len(forget) == 5 * len(of(forget))  # none in part
    assert len(forget) - 5 < fraction * 60 <= len(forget)
    assert np.array_equal(forget, choose_groups(str(persons), 60, fraction, np.random.RandomState(seed))[0])


def test_a_tenth_is_reached_unless_said_and_the_split_seed_draws_others(make_tiny, persons):
    drawn = [make_tiny(forget_groups=str(persons), split_seed=seed).split.forget for seed in range(8)]
    assert {len(forget) for forget in drawn} == {10}
    assert len({tuple(sorted(of(forget))) for forget in drawn}) > 1


def test_a_file_with_a_colon_in_its_name_is_found(tmp_path, persons):
    path = tmp_path / "a:b.csv"
    path.write_text(persons.read_text())
    assert len(choose_groups(str(path), 60, None, np.random.RandomState(0))[0]) == 10


def test_more_names_than_a_files_name_may_be_long(tmp_path):
    (tmp_path / "persons.csv").write_text("index,group\n" + "".join(f"{i},person number {i}\n" for i in range(60)))
    names = ",".join(f"person number {i}" for i in range(40))
    assert len(choose_groups(f"{tmp_path}/persons.csv:{names}", 60, None, np.random.RandomState(0))[0]) == 40


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("index,group\n", ""), "its first line must be index,group"),
        (lambda text: "", "its first line must be index,group"),
        (lambda text: text.replace("\n7,p7\n", "\n"), "lacks image 7 (1 of 60"),
        (lambda text: text + "7,p8\n", "line 62: image 7 already has a group (p7)"),
        (lambda text: text + "60,p8\n", "line 62: 60 is out of range, training images are 0 … 59"),
        (lambda text: text.replace("\n7,p7\n", "\nseven,p7\n"), "line 9: 'seven,p7' is not an index and a group"),
        (lambda text: text.replace("\n7,p7\n", "\n7\n"), "line 9: '7' is not an index and a group"),
        (lambda text: text.replace("\n7,p7\n", "\n-7,p7\n"), "line 9: '-7,p7'"),
    ],
)
def test_files_that_do_not_fit_are_one_line(tmp_path, persons, change, said):
    path = tmp_path / "groups.csv"
    path.write_text(change(persons.read_text()))
    with pytest.raises(UserError) as caught:
        choose_groups(str(path), 60, None, np.random.RandomState(0))
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (":p12", {}, "has no group 'p12'"),
        (":" + ",".join(f"p{i}" for i in range(12)), {}, "all 12 groups would be forgotten"),
        ("", {"forget_fraction": 0.99}, "all 12 groups would be forgotten"),
        ("", {"forget_fraction": 1.5}, "--forget-fraction 1.5"),
        (":p1", {"forget_fraction": 0.5}, "both choose the groups"),
        (":p1", {"forget_class": 1}, "--forget-class and --forget-groups both choose"),
        (".none", {}, "does not exist"),
    ],
)
def test_choices_that_do_not_fit_are_one_line(make_tiny, persons, names, options, said):
    with pytest.raises(UserError) as caught:
        make_tiny(forget_groups=f"{persons}{names}", **options)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_one_line(tmp_path):
    (tmp_path / "groups.csv").write_bytes(bytes(range(256)))
    with pytest.raises(UserError, match="cannot be read as CSV"):
        choose_groups(str(tmp_path / "groups.csv"), 60, None, np.random.RandomState(0))
