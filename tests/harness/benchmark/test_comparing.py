"""What differs between the identities of two benchmarks."""

from __future__ import annotations

import pytest

from forget512.harness.benchmark.comparing import check_comparable, differences
from forget512.harness.errors import UserError


def test_equal_identities_differ_in_nothing_and_missing_parts_are_differences(benchmark):
    assert differences(benchmark.identity, benchmark.identity) == []
    assert differences({"a": {"b": 1}}, {"a": {}}) == ["a.b: 1 v None"]


def test_runs_of_two_benchmarks_are_refused_with_what_differs(make_tiny, benchmark):
    check_comparable(benchmark.identity, make_tiny().identity)
    other = make_tiny(epochs=3)
    with pytest.raises(UserError, match=r"recipe\.epochs: 2 v 3") as caught:
        check_comparable(benchmark.identity, other.identity)
    assert benchmark.fingerprint[:12] in str(caught.value) and other.fingerprint[:12] in str(caught.value)
