"""Stores with made-up runs: records as `evaluate` writes them, whose confidences have a stated shift and spread."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from forget512.harness.hashing import sha256
from forget512.harness.store.layout import bank_folder, benchmark_name
from forget512.harness.store.record import Provenance, RunRecord, decode

CLASSES, PROBE = 10, 1000
HERE = Provenance(torch="2.6", cuda=None, device="cpu", share=1.0, engine="eager", host="here")


def describe(examples: int, epochs: int = 30) -> dict[str, Any]:
    """A benchmark that no data set belongs to. epochs: for another one."""
    rng = np.random.default_rng(0)
    probe = rng.integers(0, CLASSES, PROBE).tolist()
    indices = np.arange(examples)
    digest = sha256(indices.astype("<i8").tobytes())
    parts = ("retain", "forget", "validation", "test")
    identity = {
        "data": {"sha256": "0" * 64, "classes": CLASSES},
        "split": {part: {"examples": examples, "sha256": digest} for part in parts},
        "model": {"name": "none"},
        "recipe": {"epochs": epochs},
        "precision": "float32",
    }
    return {
        "name": "synthetic",
        "fingerprint": sha256(identity),
        "identity": identity,
        "forget_indices": indices.tolist(),
        "forget_targets": rng.integers(0, CLASSES, examples).tolist(),
        "probe_targets": {"retain": probe, "test": probe},
    }


def fill(
    root: Path, description: dict[str, Any], candidates: dict[str, tuple[float, float]], runs: int
) -> dict[str, Path]:
    """Write a store with a reference and these candidates: name -> (shift, spread), in spreads of the reference.

    Returns the banks' folders by name.
    """
    described = root / benchmark_name(description["fingerprint"])
    described.parent.mkdir(parents=True, exist_ok=True)
    described.write_text(json.dumps(description))
    targets = np.array(description["forget_targets"])
    probes = {name: np.array(classes) for name, classes in description["probe_targets"].items()}
    means = np.random.default_rng(0).normal(3, 2, len(targets))
    folders = {}
    for number, (name, (shift, spread)) in enumerate({"retrain": (0.0, 1.0), **candidates}.items()):
        folders[name], key = make_bank(root, description, name, number)
        for seed in range(runs):
            rng = np.random.default_rng([seed, number])
            together = 0.4 * rng.normal()  # runs move examples together
            values = means + shift + spread * (0.9 * rng.normal(size=len(targets)) + together)
            around = {kind: 4 + shift + spread * rng.normal(size=len(classes)) for kind, classes in probes.items()}
            record = RunRecord(
                key,
                seed,
                1,
                "finished",
                HERE,
                seconds=float(rng.uniform(1, 2)),
                retain_accuracy=0.95 + 0.02 * rng.random(),
                forget_accuracy=0.8 + 0.02 * rng.random(),
                validation_accuracy=0.8,
                test_accuracy=0.8 + 0.02 * rng.random(),
                forget_logits=make_logits(rng, targets, values),
                probe_retain_logits=make_logits(rng, probes["retain"], around["retain"]),
                probe_test_logits=make_logits(rng, probes["test"], around["test"]),
            )
            Path(record.name(str(folders[name]))).write_bytes(record.encode())
    return folders


def make_bank(root: Path, description: dict[str, Any], method: str, number: int) -> tuple[Path, str]:
    """An empty bank's folder, and its key. number: a hyper-parameter."""
    identity = {
        "algorithm": method,
        "benchmark": description["fingerprint"],
        "hyper_parameters": {"number": number},
        "source": "0" * 64,
        "original": None if method == "retrain" else "1" * 64,
    }
    folder = root / bank_folder(identity)
    folder.mkdir(parents=True)
    (folder / "bank.json").write_text(json.dumps(identity))
    return folder, sha256(identity)


def copy_runs(source: Path, folder: Path, key: str, runs: int) -> None:
    """The first runs of a bank as another's, whose key it is."""
    for path in sorted(source.glob("*.safetensors"))[:runs]:
        (folder / path.name).write_bytes(replace(decode(path.read_bytes()), bank=key).encode())


def make_logits(rng: np.random.Generator, targets: np.ndarray, confidences: np.ndarray) -> np.ndarray:
    """(S, CLASSES) float32 whose logit-scaled confidences are these."""
    found = rng.normal(0, 0.5, (len(targets), CLASSES)).astype(np.float32)
    rows = np.arange(len(targets))
    found[rows, targets] = -np.inf
    found[rows, targets] = confidences + np.log(np.exp(found).sum(axis=1))
    return found
