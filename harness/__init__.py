"""Everything that makes and keeps run records: benchmarks, banks, actors, leaderboards.

from harness import evaluate
result = evaluate("my_idea.py", "finetune", runs=32)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.library import Result, evaluate

__all__ = ["Result", "evaluate"]


def __getattr__(name: str) -> Any:
    """The library is imported when it is asked for: torch and Ray take seconds, and scores need neither."""
    if name in __all__:
        from harness import library

        return getattr(library, name)
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
