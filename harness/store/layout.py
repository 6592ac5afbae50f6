"""Builds and parses every name in a store; no other module does.

    benchmarks/<12>.json                   a benchmark's description
    banks/<12>/<method>-<12>/bank.json     a bank's identity, whose hash is its key
                             source.json   the text of its algorithm
                             examined.json         the checkpoints that were examined into it
                             origin-<12>.json      an import's note
                             00017.finished.safetensors, 00017.failed-2.safetensors    records
                             confidences-512.safetensors    512 imported runs, of which only confidences are known
    originals/<64>.safetensors             an original model, named by its content
              <12>-<12>-0.json             a pointer to a benchmark's original model number 0
              <12>-<12>-examined.safetensors    an original model's record on a benchmark
    damaged/<any of these>                 damaged files that were set aside

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
_ORIGINAL = re.compile(rf"{ORIGINALS}/([0-9a-f]{{64}})\.safetensors")
_EXAMINED_ORIGINAL = re.compile(rf"{ORIGINALS}/([0-9a-f]{{12}})-([0-9a-f]{{12}})-examined\.safetensors")


def benchmark_name(fingerprint: str) -> str:
    """Name a benchmark's description. fingerprint: at least its first 12 digits."""
    return f"{BENCHMARKS}/{fingerprint[:12]}.json"


def banks_folder(fingerprint: str) -> str:
    """Name the folder of a benchmark's banks."""
    return f"{BANKS}/{fingerprint[:12]}"


def bank_folder(identity: Mapping[str, Any]) -> str:
    """Name the folder of the bank with this identity."""
    return f"{banks_folder(identity['benchmark'])}/{identity['algorithm']}-{sha256(identity)[:12]}"


def bank_of(name: str) -> str | None:
    """Return the folder of the bank that a file belongs to; None if it belongs to none."""
    parts = name.split("/")
    return "/".join(parts[:3]) if len(parts) == 4 and parts[0] == BANKS else None


def parse_bank_folder(folder: str) -> tuple[str, str, str]:
    """Parse a bank's folder: 12 digits of the benchmark's fingerprint, the method, and 12 digits of the bank's key."""
    _, fingerprint, bank = folder.split("/")
    method, _, key = bank.rpartition("-")
    return fingerprint, method, key


def file_name(name: str) -> str:
    """Return the last part of a name."""
    return name.rpartition("/")[2]


def record_name(folder: str, seed: int, attempt: int | None = None) -> str:
    """Name the record of a finished run, or of a failed attempt."""
    return f"{folder}/{seed:05d}.{'finished' if attempt is None else f'failed-{attempt}'}.safetensors"


def parse_record(name: str) -> tuple[int, int | None] | None:
    """Parse a record's seed, and the number of its failed attempt (None if it finished); None for other files."""
    match = _RECORD.fullmatch(file_name(name))
    return (int(match[1]), int(match[2]) if match[2] else None) if match else None


def confidences_name(folder: str, runs: int) -> str:
    """Name the file with the confidences of this many imported runs."""
    return f"{folder}/confidences-{runs}.safetensors"


def parse_confidences(name: str) -> int | None:
    """Parse the number of runs of a file of confidences; None for other files."""
    match = _CONFIDENCES.fullmatch(file_name(name))
    return int(match[1]) if match else None


def import_note_name(folder: str, digest: str) -> str:
    """Name the note on the import of the file with this SHA-256."""
    return f"{folder}/origin-{digest[:12]}.json"


def parse_import_note(name: str) -> str | None:
    """Parse the first digits of the imported file's SHA-256; None for other files."""
    match = _IMPORT_NOTE.fullmatch(file_name(name))
    return match[1] if match else None


def original_name(digest: str) -> str:
    """Name the file of the original model with this SHA-256."""
    return f"{ORIGINALS}/{digest}.safetensors"


def parse_original(name: str) -> str | None:
    """Parse the SHA-256 in an original model's name; None for other files."""
    match = _ORIGINAL.fullmatch(name)
    return match[1] if match else None


def pointer_name(fingerprint: str, key: str, number: int) -> str:
    """Name the pointer to a benchmark's original model. key: see `originals.original_key`."""
    return f"{ORIGINALS}/{fingerprint[:12]}-{key[:12]}-{number}.json"


def examined_name(fingerprint: str, digest: str) -> str:
    """Name the record of the examination on a benchmark of the original model with this SHA-256."""
    return f"{ORIGINALS}/{fingerprint[:12]}-{digest[:12]}-examined.safetensors"


def parse_examined(name: str) -> tuple[str, str] | None:
    """Parse the first digits of the benchmark and of the original model; None for other files."""
    match = _EXAMINED_ORIGINAL.fullmatch(name)
    return (match[1], match[2]) if match else None


def aside_name(name: str, number: int) -> str:
    """Return where a damaged file is moved. number: of earlier damaged files with the same name."""
    return f"damaged/{name}.{number}" if number else f"damaged/{name}"


def order(name: str) -> list[str]:
    """Return a key that sorts names folder by folder."""
    return name.split("/")


def locate(folder: Path) -> tuple[Path, str]:
    """Split the path of a bank on a disk into its store's folder and the bank's folder in the store.

    Raises:
        ValueError: the path is not that of a bank.
    """
    parts = folder.resolve().parts
    if len(parts) < 4 or parts[-3] != BANKS:
        raise ValueError("its path does not end in banks/<benchmark>/<algorithm>")
    return Path(*parts[:-3]), "/".join(parts[-3:])
