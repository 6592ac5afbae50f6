"""Describes an algorithm: code and hyper-parameters that turn the original model into an unlearned one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from forget512.algorithms import ALGORITHMS
from forget512.harness.hashing import sha256

RETRAIN = "retrain"  # the method whose runs are the reference


def stem(method: str) -> str:
    """Return a method's name without the hash of its source: 'idea' for 'idea@1a2b3c4d'."""
    return method.rpartition("@")[0] or method


@dataclass(frozen=True)
class Algorithm:
    """An algorithm, which turns the original model into an unlearned one.

    name: shown in tables: 'finetune', 'finetune:starting-kit' (a preset), or 'my_idea@1a2b3c4d' for a candidate
    method: the name of its banks: the function's name, or name@hash of its source for a candidate
    hyper_parameters: the function's keyword arguments, as JSON values
    source: SHA-256 of its code: the versions of modules for a built-in, the files for a candidate (source.py)
    files: a candidate's files, by path relative to its folder, the one with `unlearning` first; empty if built in
    batch_format: format of the batches that a candidate gets: tuples or kaggle
    fractional: hyper-parameters that its function annotates as float, though the default may be a whole number
    """

    name: str
    method: str
    hyper_parameters: dict[str, Any]
    source: str
    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    folder: str = ""
    batch_format: str = "tuples"
    fractional: Sequence[str] = ()

    @property
    def owner(self) -> str:
        """Its name in --set, without preset or hash."""
        return stem(self.method)

    @property
    def unusual(self) -> dict[str, str]:
        """Fields that are part of its banks' identity only where they differ from the default."""
        return {} if self.batch_format == "tuples" else {"batch_format": self.batch_format}

    @property
    def from_scratch(self) -> bool:
        """Whether it starts from a fresh network instead of the original model."""
        return self.method == RETRAIN

    @property
    def bank(self) -> str:
        """The hash that distinguishes its banks from others on one benchmark."""
        return sha256([self.method, self.hyper_parameters, self.source, *self.unusual.items()])

    @property
    def function(self) -> Callable:
        """Import a built-in's module and return its function."""
        return ALGORITHMS[self.method].function
