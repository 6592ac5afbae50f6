"""Reads and writes bundles: banks with their benchmark, sources and scores in one safetensors file.

The container has no code, no compression and no paths: a header of JSON and plain arrays that fill the file exactly.
Its metadata has two entries: `bundle`, a JSON text (the manifest) with the SHA-256 of every array, and `sha256`, the
SHA-256 of the manifest's text, which is the bundle's name. docs/leaderboard.md describes the format.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from forget512.harness.errors import UserError, first_line, printable
from forget512.harness.hashing import canonical_json, sha256

FORMAT = "forget512/bundle/1"
MOST_RUNS = 2**20  # of a bank: a larger number could keep this program busy for hours
MANIFEST_KEYS = {"format", "made", "benchmark", "mode", "runs", "banks", "scores", "arrays"}
BANK_KEYS = {"identity", "name", "source", "failed", "provenance", "origins"}
DTYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64}

Manifest = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle's manifest, read whole, and its arrays, read one at a time. sha256: its name."""

    path: Path
    manifest: Manifest
    sha256: str

    def array(self, name: str) -> np.ndarray:
        """Read one array. Raises KeyError if there is none of this name."""
        if name not in self.manifest["arrays"]:
            raise KeyError(name)
        with safe_open(self.path, framework="numpy") as file:
            return file.get_tensor(name)

    def damage(self) -> list[str]:
        """Return a line for each array that does not match its checksum."""
        listed = self.manifest["arrays"]
        found = []
        with safe_open(self.path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118, no dictionary
                if listed[name] != _digest(file.get_tensor(name)):
                    found.append(f"the array {name} is damaged: its checksum does not match")
        return found


def write_bundle(path: Path, manifest: Manifest, arrays: dict[str, np.ndarray]) -> str:
    """Write a bundle atomically; return its name.

    Raises:
        UserError: the file exists already, or cannot be written.
    """
    if path.exists():
        raise UserError(f"{path} exists and is not overwritten: choose another name.")
    arrays = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    text = canonical_json({**manifest, "arrays": {name: _digest(values) for name, values in arrays.items()}})
    digest = sha256(text.encode())
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        os.close(handle)
        try:
            save_file(arrays, temporary, metadata={"bundle": text, "sha256": digest})
            os.link(temporary, path)  # unlike a rename, it overwrites nothing
        finally:
            Path(temporary).unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be written: {first_line(error)}.") from error
    return digest


def read_bundle(path: Path) -> Bundle:
    """Open a bundle; its arrays are not read yet.

    Raises:
        UserError: it is not a bundle, or its manifest was changed.
    """
    if not path.is_file():
        raise UserError(f"{path} is not a file: give a bundle that `export` wrote.")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
        text, digest = metadata["bundle"], metadata["sha256"]
        if sha256(text.encode()) != digest:
            raise UserError(f"{path} is damaged: its manifest does not match its checksum.")
        manifest = json.loads(text, parse_constant=_no_number)
        _check_shape(manifest)
        if manifest["arrays"].keys() != kinds.keys():
            raise ValueError("its arrays differ from its list of arrays")
        strange = sorted(set(kinds.values()) - DTYPES.keys())
        if strange:
            raise ValueError(f"arrays of type {strange[0]} are not allowed")
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is not a bundle: {type(error).__name__}: {printable(first_line(error))}.") from error
    return Bundle(path, manifest, digest)


def _check_shape(manifest: Any) -> None:
    """Check a manifest's structure; its values are checked where they are used. Raises ValueError."""
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT}")
    if manifest.keys() != MANIFEST_KEYS:
        raise ValueError(
            f"its manifest has missing or unknown entries: {', '.join(sorted(manifest.keys() ^ MANIFEST_KEYS))}"
        )
    banks, scores = manifest["banks"], manifest["scores"]
    if not isinstance(banks, list) or not banks or not isinstance(scores, list) or len(scores) != len(banks) - 1:
        raise ValueError("it must hold a reference bank, and a score for each other bank")
    for bank in banks:
        if not isinstance(bank, dict) or bank.keys() != BANK_KEYS or not isinstance(bank["identity"], dict):
            raise ValueError("the description of a bank is invalid")
    if (
        type(manifest["runs"]) is not int
        or not 2 <= manifest["runs"] <= MOST_RUNS
        or not isinstance(manifest["arrays"], dict)
    ):
        raise ValueError("its number of runs or its list of arrays is invalid")


def _no_number(text: str) -> float:
    raise ValueError(f"it contains {text}")


def _digest(values: np.ndarray) -> str:
    return sha256(repr((values.dtype.str, values.shape)).encode() + np.ascontiguousarray(values).tobytes())
