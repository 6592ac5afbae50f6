"""Builds and parses every name in a store; nothing else does.

    benchmarks/<12>.json                   a benchmark's description
    banks/<12>/<method>-<12>/bank.json     a bank's identity: what its key is the hash of
                             source.json   the text of its algorithm
                             examined.json         the checkpoints that were examined into it
                             origin-<12>.json      an import's note
                             00017.finished.safetensors, 00017.failed-2.safetensors    records
                             confidences-512.safetensors    512 imported runs of which confidences alone are known
    originals/<64>.safetensors             an original model, named by its content
              <12>-<12>-0.json             a pointer: which original model is a benchmark's number 0
              <12>-<12>-accuracies.json    an original model's accuracies on a benchmark
    damaged/<any of these>                 what was set aside

<12>: the first 12 digits of a SHA-256 (of a benchmark's fingerprint, a bank's key, a file's content, …).
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forget512.harness.hashing import sha256

BENCHMARKS, BANKS, ORIGINALS = "benchmarks", "banks", "originals"
FOLDERS = (BENCHMARKS, ORIGINALS, BANKS)  # the smallest first
IDENTITY, SOURCE, EXAMINED = "bank.json", "source.json", "examined.json"  # files of a bank

_RECORD = re.compile(r"(\d+)\.(?:finished|failed-(\d+))\.safetensors")
_CONFIDENCES = re.compile(r"confidences-(\d+)\.safetensors")
_IMPORT_NOTE = re.compile(r"origin-(.*)\.json")
_ORIGINAL = re.compile(rf"{ORIGINALS}/(.*)\.safetensors")


def benchmark_name(fingerprint: str) -> str:
    """Of a benchmark's description. fingerprint: at least its first 12 digits."""
    return f"{BENCHMARKS}/{fingerprint[:12]}.json"


def banks_folder(fingerprint: str) -> str:
    """Of all banks of a benchmark."""
    return f"{BANKS}/{fingerprint[:12]}"


def bank_folder(identity: Mapping[str, Any]) -> str:
    """Of the bank with this identity."""
    return f"{banks_folder(identity['benchmark'])}/{identity['algorithm']}-{sha256(identity)[:12]}"


def bank_of(name: str) -> str | None:
    """The folder of the bank that a file belongs to; None for a file that belongs to none."""
    parts = name.split("/")
    return "/".join(parts[:3]) if len(parts) == 4 and parts[0] == BANKS else None


def parse_bank_folder(folder: str) -> tuple[str, str, str]:
    """The first 12 digits of the benchmark's fingerprint, the method, and the first 12 of the bank's key."""
    _, fingerprint, bank = folder.split("/")
    method, _, key = bank.rpartition("-")
    return fingerprint, method, key


def file_name(name: str) -> str:
    """The last part of a name."""
    return name.rpartition("/")[2]


def record_name(folder: str, seed: int, attempt: int | None = None) -> str:
    """Of the record of a finished run, or of a failed attempt."""
    return f"{folder}/{seed:05d}.{'finished' if attempt is None else f'failed-{attempt}'}.safetensors"


def parse_record(name: str) -> tuple[int, int | None] | None:
    """Seed of a record, and number of the failed attempt or None where the run finished; None for another file."""
    match = _RECORD.fullmatch(file_name(name))
    return (int(match[1]), int(match[2]) if match[2] else None) if match else None


def confidences_name(folder: str, runs: int) -> str:
    """Of the file with the confidences of so many imported runs."""
    return f"{folder}/confidences-{runs}.safetensors"


def parse_confidences(name: str) -> int | None:
    """How many runs a file of confidences holds; None for another file."""
    match = _CONFIDENCES.fullmatch(file_name(name))
    return int(match[1]) if match else None


def import_note_name(folder: str, digest: str) -> str:
    """Of the note on the import of the file with this SHA-256."""
    return f"{folder}/origin-{digest[:12]}.json"


def parse_import_note(name: str) -> str | None:
    """The first digits of the imported file's SHA-256; None where the name is not a note's."""
    match = _IMPORT_NOTE.fullmatch(file_name(name))
    return match[1] if match else None


def original_name(digest: str) -> str:
    """Of the original model with this SHA-256."""
    return f"{ORIGINALS}/{digest}.safetensors"


def parse_original(name: str) -> str | None:
    """The SHA-256 that an original model's name states; None for another file."""
    match = _ORIGINAL.fullmatch(name)
    return match[1] if match else None


def pointer_name(fingerprint: str, key: str, number: int) -> str:
    """Of the pointer to a benchmark's original model. key: see `originals.original_key`."""
    return f"{ORIGINALS}/{fingerprint[:12]}-{key[:12]}-{number}.json"


def accuracies_name(fingerprint: str, digest: str) -> str:
    """Of the accuracies on a benchmark of the original model with this SHA-256."""
    return f"{ORIGINALS}/{fingerprint[:12]}-{digest[:12]}-accuracies.json"


def is_accuracies(name: str) -> bool:
    """Whether a file has the accuracies of an original model."""
    return name.endswith("-accuracies.json")


def aside_name(name: str, number: int) -> str:
    """Where a damaged file is moved. number: of those that were moved there before it under the same name."""
    return f"damaged/{name}.{number}" if number else f"damaged/{name}"


def order(name: str) -> list[str]:
    """Sorts names folder by folder."""
    return name.split("/")


def locate(folder: Path) -> tuple[Path, str]:
    """A bank's folder on a disk: its store's folder, and the bank's folder in the store.

    Raises:
        ValueError: its path is not that of a bank.
    """
    parts = folder.resolve().parts
    if len(parts) < 4 or parts[-3] != BANKS:
        raise ValueError("its path does not end in banks/<benchmark>/<algorithm>")
    return Path(*parts[:-3]), "/".join(parts[-3:])
