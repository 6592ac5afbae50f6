"""Scores machine-unlearning algorithms by distributions: N unlearned networks against N retrained ones.

    from forget512 import evaluate, open_store
    result = evaluate("my_idea.py", "finetune", runs=32)
    table = open_store("store").benchmark().leaderboard()

In a checkout the folders harness/, algorithms/ and scoring/ stand next to this one; in a wheel they are inside it. Both
times they are imported as forget512.harness, forget512.algorithms and forget512.scoring.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forget512.harness.api.candidate import Candidate
    from forget512.harness.api.evaluating import evaluate
    from forget512.harness.api.network import build_network
    from forget512.harness.api.reading import BankReader, BenchmarkReader, StoreReader, open_store
    from forget512.harness.api.reproducing import published_settings
    from forget512.harness.api.result import Result
    from forget512.harness.errors import UserError

__all__ = [
    "BankReader",
    "BenchmarkReader",
    "Candidate",
    "Result",
    "StoreReader",
    "UserError",
    "build_network",
    "evaluate",
    "open_store",
    "published_settings",
]

_HOMES = {
    "api.candidate": ["Candidate"],
    "api.evaluating": ["evaluate"],
    "api.network": ["build_network"],
    "api.reading": ["BankReader", "BenchmarkReader", "StoreReader", "open_store"],
    "api.reproducing": ["published_settings"],
    "api.result": ["Result"],
    "errors": ["UserError"],
}

_here = Path(__file__).resolve().parent
if not (_here / "harness").is_dir():
    __path__.append(str(_here.parent))


def __getattr__(name: str) -> Any:
    """Each name is imported when it is asked for: torch and Ray take seconds, and reading a store needs neither."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"forget512.harness.{home}"), name)
    raise AttributeError(f"module 'forget512' has no attribute {name!r}")
