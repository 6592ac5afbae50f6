"""The forget set: a class, given indices, or a share, and what does not fit."""

from __future__ import annotations

import numpy as np
import pytest


def test_a_class_is_forgotten_as_a_whole(make_tiny):
    benchmark = make_tiny(forget_class=1)
    assert np.array_equal(benchmark.split.forget, np.flatnonzero(benchmark.dataset.y_train == 1))
    assert set(benchmark.forget_targets) == {1}


@pytest.mark.parametrize("label", [-1, 3])
def test_a_class_that_is_not_there_is_refused(refusal, label):
    refusal(f"--forget-class {label}", "0 … 2", forget_class=label)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, 0.001, float("nan"), float("inf")])
def test_a_fraction_that_forgets_nothing_or_everything_is_refused(refusal, fraction):
    refusal("--forget-fraction", "at least one", forget_fraction=fraction)


@pytest.mark.parametrize("text", ["5 3 59", "5\n3\n59\n", "5,3,59", "5, 3,\n59"])
def test_indices_are_read_from_a_text(make_tiny, tmp_path, text):
    path = tmp_path / "forget.txt"
    path.write_text(text)
    assert make_tiny(forget_indices=path).split.forget.tolist() == [3, 5, 59]


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_indices_are_read_from_an_npy_file(make_tiny, tmp_path, kind):
    np.save(tmp_path / "forget.npy", np.array([5, 3, 59], kind))
    split = make_tiny(forget_indices=tmp_path / "forget.npy").split
    assert split.forget.tolist() == [3, 5, 59] and split.forget.dtype == np.int64


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        ("1 60", "60 is out of range"),
        ("1 -1", "-1 is out of range"),
        ("1 2 1", "1 occurs more than once"),
        ("1 two", "two"),
        ("1.5", "integers"),
        (" ".join(map(str, range(60))), "all 60"),
        (f"1 {10**30}", "too large"),
    ],
)
def test_indices_that_do_not_fit_are_refused(refusal, tmp_path, text, complaint):
    path = tmp_path / "forget.txt"
    path.write_text(text)
    refusal("--forget-indices", str(path), complaint, forget_indices=path)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (np.array([1.0, 2.0]), "float64"),
        (np.array([[1, 2]]), "(1, 2)"),
        (np.zeros(60, bool), "bool"),
        (np.array([], np.int64), "is empty"),
        (np.array([2**64 - 1], np.uint64), "out of range"),
    ],
)
def test_an_npy_file_of_something_else_is_refused(refusal, tmp_path, values, complaint):
    np.save(tmp_path / "forget.npy", values)
    refusal("--forget-indices", complaint, forget_indices=tmp_path / "forget.npy")


def test_index_files_that_cannot_be_read_are_refused(refusal, tmp_path):
    refusal("does not exist", forget_indices=tmp_path / "nowhere.npy")
    (tmp_path / "text.npy").write_text("1 2 3")
    refusal("text.npy", "cannot be read", forget_indices=tmp_path / "text.npy")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)))
    refusal("binary.txt", "cannot be read", forget_indices=tmp_path / "binary.txt")
    refusal("cannot be read", forget_indices=tmp_path)


def test_an_archive_named_npy_is_refused(refusal, tmp_path):
    np.savez(tmp_path / "forget.npz", forget=np.arange(3))
    (tmp_path / "forget.npz").rename(tmp_path / "forget.npy")
    refusal("forget.npy", forget_indices=tmp_path / "forget.npy")


def test_two_ways_to_choose_the_forget_set_are_refused(refusal):
    refusal("--forget-fraction and --forget-class", forget_fraction=0.1, forget_class=1)


def test_the_way_to_choose_the_same_forget_set_does_not_matter(make_tiny, tmp_path):
    # Indices draw nothing, a fraction does: the halves of the test set are drawn after it.
    one = make_tiny(forget_class=1)
    path = tmp_path / "forget.txt"
    path.write_text(" ".join(map(str, reversed(one.split.forget.tolist()))))
    assert make_tiny(forget_indices=path).fingerprint == one.fingerprint
