"""Runs that are known by their confidences alone, as one safetensors file."""

import json

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from forget512.harness.hashing import sha256
from forget512.harness.store.record import Damaged
from forget512.harness.store.runs import Reading

ACCURACIES = ("retain_accuracy", "forget_accuracy", "test_accuracy")
PER_RUN = (*ACCURACIES, "seconds")  # what may be known of a run beside its confidences


def confidence_readings(arrays: dict[str, np.ndarray]) -> dict[int, Reading]:
    """By seed, counted from 0: `confidences` (N, S) and the accuracies and seconds that are known, (N,) each."""
    unknown = dict.fromkeys(("correct", "retain_probe", "test_probe", "provenance"))
    found = {}
    for seed, confidences in enumerate(arrays["confidences"]):
        known = {key: float(arrays[key][seed]) if key in arrays else None for key in PER_RUN}
        found[seed] = Reading(confidences, **known, **unknown)  # type: ignore[arg-type]
    return found


def encode_confidences(arrays: dict[str, np.ndarray]) -> bytes:
    """A safetensors file of what `confidence_readings` takes, with its checksum."""
    return save(arrays, metadata={"sha256": _checksum(arrays)})


def decode_confidences(data: bytes) -> dict[str, np.ndarray]:
    """What `confidence_readings` takes, float64.

    Raises:
        Damaged: it holds anything else, or its checksum does not match.
    """
    try:
        arrays = load(data)
    except SafetensorError as error:
        raise Damaged("it is no safetensors file") from error
    check_confidences(arrays)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    if header.get("__metadata__", {}).get("sha256") != _checksum(arrays):
        raise Damaged("its checksum does not match")
    return arrays


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    return sha256([[name, list(values.shape), sha256(values.tobytes())] for name, values in sorted(arrays.items())])


def check_confidences(arrays: dict[str, np.ndarray]) -> None:
    """Raises Damaged for what is not `confidences` (N, S) and known accuracies and seconds (N,), finite float64."""
    if "confidences" not in arrays:
        raise Damaged("it holds no confidences")
    for name, values in arrays.items():
        wanted = 2 if name == "confidences" else 1
        known = name in ("confidences", *PER_RUN)
        if (
            not known
            or values.dtype != np.float64
            or values.ndim != wanted
            or len(values) != len(arrays["confidences"])
        ):
            raise Damaged(f"{name} is {values.dtype} of shape {values.shape}")
        if not np.isfinite(values).all():
            raise Damaged(f"{name} has values that are not finite")
        if name in PER_RUN and ((values < 0).any() or (name in ACCURACIES and (values > 1).any())):
            raise Damaged(f"{name} has values that no run can have")
