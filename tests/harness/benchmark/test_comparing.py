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
    other = make_tiny(epochs=3, precision="bfloat16")
    with pytest.raises(UserError) as caught:
        check_comparable(benchmark.identity, other.identity)
    line = str(caught.value)
    for part in ("precision: float32 v bfloat16", "recipe.epochs: 2 v 3", benchmark.fingerprint[:12]):
        assert part in line
    assert other.fingerprint[:12] in line and "split" not in line and "\n" not in line
