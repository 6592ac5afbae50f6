"""Parses `--set name=value`; each value must have the type of the hyper-parameter's default."""

import ast
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.errors import UserError, one_of
from forget512.harness.hashing import canonical_json


def with_settings(algorithms: Sequence[Algorithm], settings: Sequence[str]) -> list[Algorithm]:
    """Apply `name=value` (to every algorithm that has it) and `algorithm.name=value` (to that one).

    A value is parsed as a Python literal, else as text, and must have its default's type. A default of 3 may be set to
    2.5 if the function annotates the parameter as float.

    Raises:
        UserError: a setting is malformed or has another type, or no algorithm has such a hyper-parameter.
    """
    changed = [dict(algorithm.hyper_parameters) for algorithm in algorithms]
    for setting in settings:
        key, equals, text = setting.partition("=")
        owner, dot, name = key.rpartition(".")
        if not equals or not name:
            raise UserError(f"--set {setting!r}: write name=value or algorithm.name=value.")
        chosen = [i for i, a in enumerate(algorithms) if not dot or owner in (a.name, a.owner)]
        holders = [i for i in chosen if name in changed[i]]
        if not holders:
            known = sorted({n for i in chosen for n in changed[i]})
            if not known:
                if not chosen:
                    raise UserError(f"--set {setting}: no algorithm {owner!r} in this command.")
                raise UserError(f"--set {setting}: these algorithms have no hyper-parameters.")
            one_of(f"--set {setting}: hyper-parameter", name, known)
        for i in holders:
            default = algorithms[i].hyper_parameters[name]
            changed[i][name] = _value(setting, text, default, name in algorithms[i].fractional)
    return [replace(a, hyper_parameters=values) for a, values in zip(algorithms, changed, strict=True)]


def _value(setting: str, text: str, default: Any, fractional: bool) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        value = text
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if fractional and type(default) is int and type(value) is float:
        default = value = int(value) if value.is_integer() else value  # 3 and 3.0 name one bank
    if isinstance(default, list) and not isinstance(value, list):
        value = [value]
    if default is not None and value is not None and type(value) is not type(default):
        raise UserError(
            f"--set {setting}: {value!r} is a {type(value).__name__}, "
            f"but the default {default!r} is a {type(default).__name__}."
        )
    if isinstance(default, list) and isinstance(value, list):
        value = _elements(setting, value, default)
    try:
        canonical_json(value)
    except (TypeError, ValueError) as error:
        raise UserError(f"--set {setting}: {value!r} is not a number, string, bool or list.") from error
    return value


def _elements(setting: str, values: list[Any], default: list[Any]) -> list[Any]:
    """Convert a list's elements to the type of its default's, so that 1 and 1.0 name one bank.

    Any type is allowed if the default holds several. Whole numbers among floats become floats. If the default holds
    whole numbers, a list with a fraction is not changed: a factor may be 1 or 0.5, and a method that needs whole
    numbers checks that itself.
    """
    kinds = {type(element) for element in default}
    kind = float if kinds == {int, float} else kinds.pop() if len(kinds) == 1 else None
    fractions = [value for value in values if isinstance(value, float) and not value.is_integer()]
    if kind is None or (kind is int and fractions and all(type(value) in (int, float) for value in values)):
        return values
    found = []
    for value in values:
        if isinstance(value, tuple):
            value = list(value)
        whole = type(value) is int or (isinstance(value, float) and value.is_integer())
        if whole and kind in (int, float):
            value = kind(value)
        if type(value) is not kind:
            raise UserError(
                f"--set {setting}: {value!r} is a {type(value).__name__}, "
                f"but the default {default!r} holds {kind.__name__}s."
            )
        found.append(value)
    return found
