"""Algorithm: what turns the original model into an unlearned one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from forget512.algorithms import ALGORITHMS
from forget512.harness.hashing import sha256

RETRAIN = "retrain"  # the method whose runs are the reference


def stem(method: str) -> str:
    """A method without the hash of its source: 'idea' of 'idea@1a2b3c4d'."""
    return method.rpartition("@")[0] or method


@dataclass(frozen=True)
class Algorithm:
    """Turns the original model into an unlearned one.

    name: as a table shows it: 'finetune', 'finetune:starting-kit' (a preset), or 'my_idea@1a2b3c4d' for a candidate
    method: what its banks are kept under: the function's name, or name@hash of its source for a candidate
    hyper_parameters: what its function is called with, as JSON-able values
    source: SHA-256 of what it consists of: of a built-in the versions of modules, of a candidate its files (source.py)
    files: a candidate's own files, by path relative to its folder, the one with `unlearning` first; empty: built in
    batch_format: of the loaders that a candidate gets: tuples or kaggle
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
        """What --set calls it: its name without preset or hash."""
        return stem(self.method)

    @property
    def unusual(self) -> dict[str, str]:
        """What joins its banks' identity only where it is not the default."""
        return {} if self.batch_format == "tuples" else {"batch_format": self.batch_format}

    @property
    def from_scratch(self) -> bool:
        """Whether it starts from a fresh network instead of the original model."""
        return self.method == RETRAIN

    @property
    def bank(self) -> str:
        """What tells its banks from others' on one benchmark, as a hash."""
        return sha256([self.method, self.hyper_parameters, self.source, *self.unusual.items()])

    @property
    def function(self) -> Callable:
        """A built-in's function; its module is imported here."""
        return ALGORITHMS[self.method].function
