"""Hyper-parameters for our benchmarks, by algorithm and data set; elsewhere a function's own defaults hold.

How they were found, on other seeds and another forget set than those that are scored: docs/presets.md.
"""

from typing import Any

PRESETS: dict[tuple[str, str], dict[str, Any]] = {
    ("finetune", "digits"): {"epochs": 2, "lr": 0.1},
    ("forget_remember", "digits"): {"epochs": (1, 1, 2), "lr": 0.05},
    ("finetune", "cifar10-mini"): {"epochs": 1, "lr": 0.05},
    ("forget_remember", "cifar10-mini"): {"draws": (1, 1, 0), "epochs": (1, 1, 2), "lr": 0.1},
}
