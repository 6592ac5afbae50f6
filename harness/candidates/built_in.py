"""Built-in algorithms by name and preset."""

import json
from typing import Any

from forget512.algorithms import ALGORITHMS, METHODS, NAMED, SMALL
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.source import built_in_files, code
from forget512.harness.candidates.user_file import defaults, fractional
from forget512.harness.errors import one_of
from forget512.harness.hashing import canonical_json, sha256


def built_in(name: str, dataset: str, settings: dict[str, Any] | None = None) -> Algorithm:
    """An algorithm of ours by name, with its preset `small` for this data set (if there is one), then the settings.

    'name:preset' takes that preset instead.

    Raises:
        UserError: unknown name or preset.
    """
    method, _, preset = name.partition(":")
    function = ALGORITHMS[one_of("algorithm", method, (*ALGORITHMS, "all", "FILE.py", "FILE.ipynb"))]
    known = presets(method, dataset)
    if preset:
        one_of(f"preset of {method} on {dataset}", preset, known)
    chosen = known[preset] if preset else known.get("small", {})
    values = {**defaults(function), **chosen, **(settings or {})}
    source = sha256([code(path) for path in built_in_files(method)])
    return Algorithm(name, method, json.loads(canonical_json(values)), source, fractional=fractional(function))


def published(method: str, dataset: str) -> Algorithm:
    """An algorithm of ours with its published settings."""
    return built_in(f"{method}:{next(iter(presets(method, dataset)))}", dataset)


def presets(method: str, dataset: str) -> dict[str, dict[str, Any]]:
    """An algorithm's presets on a data set, by name, the published one first: what differs from its defaults."""
    first = next(each.published for each in METHODS if each.name == method)
    named = {name: values for (owner, name), values in NAMED.items() if owner == method}
    small = {"small": SMALL[method, dataset]} if (method, dataset) in SMALL else {}
    return {first: {}, **named, **small}
