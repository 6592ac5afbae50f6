"""Finds built-in algorithms by name and preset."""

import json
from typing import Any

from forget512.algorithms import ALGORITHMS
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.source import hash_of_method
from forget512.harness.errors import one_of
from forget512.harness.hashing import canonical_json


def built_in(name: str, dataset: str, settings: dict[str, Any] | None = None) -> Algorithm:
    """Return a built-in algorithm with its preset `small` for this data set (if there is one), then apply the settings.

    'name:preset' selects that preset instead.

    Raises:
        UserError: unknown name or preset.
    """
    method, _, preset = name.partition(":")
    known = ALGORITHMS[one_of("algorithm", method, (*ALGORITHMS, "all", "FILE.py", "FILE.ipynb"))]
    named = presets(method, dataset)
    if preset:
        one_of(f"preset of {method} on {dataset}", preset, named)
    chosen = named[preset] if preset else named.get("small", {})
    values = json.loads(canonical_json({**known.defaults, **chosen, **(settings or {})}))
    return Algorithm(name, method, values, hash_of_method(method), fractional=known.fractional)


def published(method: str, dataset: str) -> Algorithm:
    """Return a built-in algorithm with its published settings."""
    return built_in(f"{method}:{next(iter(presets(method, dataset)))}", dataset)


def presets(method: str, dataset: str) -> dict[str, dict[str, Any]]:
    """Return an algorithm's presets on a data set by name, the published one first; each lists changed defaults."""
    known = ALGORITHMS[method]
    small = {"small": known.small[dataset]} if dataset in known.small else {}
    return {known.published: {}, **known.presets, **small}
