"""The published settings, as the publications state them: a method's own defaults."""

from __future__ import annotations

import json

import pytest

from forget512.algorithms import ALGORITHMS

PUBLISHED = {
    "forget_remember": {
        "draws": [2, 2, 2],
        "epochs": [1, 2, 2],
        "lr": [0.001],
        "t_max": 2,
        "sigma": 0.01,
        "loss": "mse",
        "pool": "no-fc-no-shortcut",
        "selection": "random",
        "unit": "layer",
    },
    "forget_remember_2": {
        "draws": [2, 2, 1, 1],
        "epochs": [2, 1, 1, 1],
        "lr": [0.0005, 0.001, 0.001, 0.001, 0.001],
        "sigma": 0.01,
    },
    "finetune": {"epochs": 1, "lr": 0.001, "momentum": 0.9, "weight_decay": 5e-4},
    "fanchuan": {"uniform_lr": 0.005, "rounds": 8, "forget_lr": 3e-4, "temperature": 1.15, "retain_batch": 256,
                 "retain_lr": 0.004, "weight_decay": 1e-2},
    "kookmin": {"share": 0.3, "epochs": 5, "lr": 0.001, "kept_rate": 0.1, "weight_decay": 5e-4},
    "seif": {"sigma": 0.6, "last_sigma": 0.005, "epochs": 4, "lr": 7e-4, "weight_decay": 5e-4},
    "sebastian": {"share": 0.99, "class_power": -0.1, "epochs": 3.2, "lr": 5e-4, "weight_decay": 5e-4},
    "toshi_marvelous": {"epochs": 3, "lr": 0.001, "weight_decay": 5e-4},
    "amnesiacs": {"warmup_epochs": 3, "warmup_lr": 9e-4, "epochs": 3, "lr": 0.001, "temperature": 5.0,
                  "weight_decay": 5e-4},
    "sun": {"epochs": 5, "tensors": 9, "share": 0.7, "sigma": 0.04, "lr": 2e-4, "factors": [1, 1, 1, 5],
            "weight_decay": 5e-4},
    "neggrad_plus": {"alpha": 0.95, "lr": 0.01},
    "random_labels": {"lr": 0.01, "epochs": 10},
    "scrub": {"temperature": 2.0, "alpha": 0.5, "gamma": 1.0, "msteps": 3, "lr": 5e-4, "retain_batch": 32,
              "forget_batch": 64, "decay_at": [0.5, 0.8, 0.9], "decay": 0.1},
    "salun": {"share": 0.5, "lr": 0.01, "momentum": 0.0, "epochs": 10},
    "l1_sparse": {"gamma": 5e-4, "epochs": 10, "lr": 0.01},
    "ssd": {"alpha": 10.0, "lam": 1.0},
    "cf_k": {"lr": 0.01, "weight_decay": 5e-4},
    "unsir": {"lr": [0.02, 0.01], "epochs": [1, 1]},
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_defaults_are_the_published_ones(name):
    found = json.loads(json.dumps(ALGORITHMS[name].defaults))
    assert {key: found[key] for key in PUBLISHED[name]} == PUBLISHED[name]
