"""Scores machine-unlearning algorithms by distributions: N unlearned networks against N retrained ones.

    from forget512 import evaluate
    result = evaluate("my_idea.py", "finetune", runs=32)

In a checkout the folders harness/, algorithms/ and scoring/ stand next to this one; in a wheel they are inside it. Both
times they are imported as forget512.harness, forget512.algorithms and forget512.scoring.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forget512.harness.api import Result, evaluate

__all__ = ["Result", "evaluate"]

_here = Path(__file__).resolve().parent
if not (_here / "harness").is_dir():
    __path__.append(str(_here.parent))


def __getattr__(name: str) -> Any:
    """The library is imported when it is asked for: torch and Ray take seconds, and scores need neither."""
    if name in __all__:
        from forget512.harness import api

        return getattr(api, name)
    raise AttributeError(f"module 'forget512' has no attribute {name!r}")
