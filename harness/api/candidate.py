"""Candidate: an algorithm with settings and a name of its own, as `evaluate` takes it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.finding import find_each, split_refused, with_all
from forget512.harness.candidates.settings import with_settings
from forget512.harness.errors import UserError


@dataclass(frozen=True)
class Candidate:
    """One of several settings of an algorithm in one evaluation.

        evaluate(*(Candidate("my_idea.py", {"lr": lr}) for lr in (0.01, 0.1)))

    algorithm: a built-in one, with a preset or without, or a file. settings: hyper-parameters that differ from its
    defaults. name: what the result calls it; by default its usual name and the settings.
    """

    algorithm: str | Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None


def find_candidates(
    wanted: Sequence[str | Path | Candidate], settings: Sequence[str], dataset: str, batch_format: str | None
) -> tuple[list[Algorithm], list[str]]:
    """Find the algorithms, and say in a line for each file why it cannot be scored.

    settings: for all of them, after a candidate's own.

    Raises:
        UserError: any other mistake, or none of the files can be scored.
    """
    candidates = list(_candidates(wanted))
    found = find_each([str(each.algorithm) for each in candidates], dataset, batch_format)
    usable, refused = split_refused(
        [
            each if isinstance(each, UserError) else _with_own(each, candidate)
            for each, candidate in zip(found, candidates, strict=True)
        ]
    )
    return with_settings(usable, settings), refused


def as_texts(settings: Mapping[str, Any]) -> list[str]:
    """Settings as the command line takes them: {"lr": 0.1} is ["lr=0.1"]."""
    return [f"{name}={value!r}" for name, value in settings.items()]


def _candidates(wanted: Sequence[str | Path | Candidate]) -> Iterator[Candidate]:
    for each in wanted:
        if isinstance(each, Candidate):
            yield each
        else:
            yield from map(Candidate, with_all([str(each)]))


def _with_own(algorithm: Algorithm, candidate: Candidate) -> Algorithm:
    [changed] = with_settings([algorithm], as_texts(candidate.settings))
    shown = ", ".join(f"{name}={value}" for name, value in candidate.settings.items())
    usual = f"{algorithm.name} ({shown})" if shown else algorithm.name
    return replace(changed, name=usual if candidate.name is None else candidate.name)
