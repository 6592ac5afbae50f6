"""Reads checkpoints from outside: state_dicts in a folder, or in a zip file like the competition's. No code is run.

Nothing is unpacked to disk, only tensors are unpickled (`weights_only`), and a checkpoint is read only up to a multiple
of the architecture's size.
"""

import io
import pickle
import re
import stat
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import torch
from safetensors.torch import load
from torch import Tensor

from forget512.harness.errors import UserError, first_line
from forget512.harness.worker.unlearn import State

SUFFIXES = (".safetensors", ".pt", ".pth")
WRAPPED = ("state_dict", "model_state_dict")  # keys of the checkpoints that training scripts write
PARALLEL = "module."  # prefix that DataParallel adds to each name
MOST = 10_000  # checkpoints in a zip (512 in the competition)


class NotACheckpoint(Exception):
    """Raised if a file cannot be read as a state_dict."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint. name: in the folder or zip. read: returns its bytes, at most one more than the limit."""

    name: str
    read: Callable[[], bytes]


def list_checkpoints(path: Path, limit: int) -> list[Checkpoint]:
    """List the checkpoints of a folder (not of its subfolders) or a zip; the index in the list is the seed.

    They are ordered by the last number in their names if these numbers are distinct, else by name. limit: bytes.

    Raises:
        UserError: there are none, or the zip is damaged or hostile: paths that leave it, links, other files,
            or members that are larger than the limit.
    """
    if path.is_dir():
        files = [f for f in path.iterdir() if f.suffix in SUFFIXES and not f.name.startswith(".") and f.is_file()]
        found = [Checkpoint(file.name, partial(_read, file, limit)) for file in files]
    elif not path.exists():
        raise UserError(f"{path} does not exist: give a folder of state_dicts ({', '.join(SUFFIXES)}), or a zip.")
    else:
        found = _list_zip(path, limit)
    if not found:
        raise UserError(f"{path} holds no checkpoints ({', '.join(SUFFIXES)}).")
    numbers = [re.findall(r"\d+", PurePosixPath(c.name).stem)[-1:] for c in found]
    if all(numbers) and len({int(n[0]) for n in numbers}) == len(found):
        return [c for _, c in sorted(zip(numbers, found, strict=True), key=lambda pair: int(pair[0][0]))]
    return sorted(found, key=lambda c: c.name)


def read_state(data: bytes, limit: int) -> State:
    """Read a state_dict from a file's bytes: safetensors, or written by torch.save.

    It is the whole content, or the entry `state_dict` or `model_state_dict` of a training script's checkpoint.

    Raises:
        NotACheckpoint: it is too large, damaged or compressed, or holds anything but tensors.
    """
    if len(data) > limit:
        raise NotACheckpoint(f"it is larger than {_size(limit)}, four times the architecture in float32")
    try:
        state = load(data) if _is_safetensors(data) else _unpickle(data)
    except (NotACheckpoint, MemoryError):
        raise
    except Exception as error:  # torch, zipfile, pickle and safetensors each have their own types
        raise NotACheckpoint(_reason(error)) from error
    if isinstance(state, dict):
        state = next((state[key] for key in WRAPPED if isinstance(state.get(key), dict)), state)
    if not isinstance(state, dict):
        raise NotACheckpoint(f"it holds a {type(state).__name__}, not a state_dict: save net.state_dict() alone")
    for name, value in state.items():
        plain = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
        if not plain or value.is_quantized or value.is_complex():
            kind = f"{value.dtype} {value.layout}" if isinstance(value, Tensor) else type(value).__name__
            raise NotACheckpoint(f"{str(name)!r} is not a plain tensor ({kind}): save net.state_dict() alone")
    if not all(isinstance(name, str) for name in state):
        raise NotACheckpoint("its names are not all text: save net.state_dict() alone")
    return dict(state)


def as_named(state: State, wanted: Iterable[str]) -> State:
    """Return the state under the architecture's names, without DataParallel's prefix."""
    parallel = state and all(name.startswith(PARALLEL) for name in state)
    if parallel and not all(name.startswith(PARALLEL) for name in wanted):
        return {name.removeprefix(PARALLEL): value for name, value in state.items()}
    return state


def _read(file: Path, limit: int) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(limit + 1)
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}).") from error


def _list_zip(path: Path, limit: int) -> list[Checkpoint]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise UserError(f"{path} is neither a folder nor a readable zip file: {first_line(error)}.") from error
    members = [m for m in archive.infolist() if not m.is_dir() and not _is_hidden(m.filename)]
    if len(members) > MOST:
        raise UserError(f"{path} holds {len(members)} files: at most {MOST} are allowed (the competition used 512).")
    names = Counter(member.filename for member in members)
    for member in members:
        problem = _problem(member, limit)
        if names[member.filename] > 1:
            problem = "occurs more than once"
        if problem:
            raise UserError(f"{path} is refused, and no part of it was used: {member.filename!r} {problem}.")

    def read(member: zipfile.ZipInfo) -> bytes:
        try:
            with archive.open(member) as opened:
                return opened.read(limit + 1)  # whatever its header states
        except Exception as error:  # zipfile, zlib and lzma each have their own types
            raise UserError(f"{path} is damaged: {member.filename!r}: {first_line(error)}.") from error

    return [Checkpoint(m.filename, partial(read, m)) for m in members]


def _problem(member: zipfile.ZipInfo, limit: int) -> str:
    """Describe what is wrong with a zip's member, from its header alone; return "" if it is valid."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    kind = stat.S_IFMT(member.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", member.filename):
        return "is a path that leaves the folder"
    if kind not in (0, stat.S_IFREG):
        return "is a link" if kind == stat.S_IFLNK else "is not a regular file"
    if path.suffix not in SUFFIXES:
        return f"is not a checkpoint ({', '.join(SUFFIXES)}); nested archives are not opened"
    if member.flag_bits & 1:
        return "is encrypted"
    if member.file_size > limit:
        return (
            f"unpacks to {_size(member.file_size)}, and the benchmark's architecture in float32 has "
            f"{_size(limit // 4)} (at most four times that is read)"
        )
    return ""


def _is_hidden(name: str) -> bool:
    return name.startswith("__MACOSX/") or (PurePosixPath(name).name.startswith(".") and ".." not in name)


def _is_safetensors(data: bytes) -> bool:
    return data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data)


def _unpickle(data: bytes) -> object:
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise NotACheckpoint("it is compressed, which torch.save never does")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's, about pickles of other protocols
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _reason(error: Exception) -> str:
    forbidden = re.search(r"GLOBAL ([\w.]+)", str(error))
    if forbidden:
        return f"its pickle needs code ({forbidden[1]}): it was not loaded, and no code was run"
    if isinstance(error, pickle.UnpicklingError):  # torch's own message advises to unpickle it anyway
        return "it cannot be read as a state_dict: it holds more than tensors, or is damaged; no code was run"
    return f"it cannot be read as a state_dict ({type(error).__name__}: {first_line(error)})"


def _size(size: float) -> str:
    return f"{size / 1e6:.3g} MB" if size < 1e9 else f"{size / 1e9:.3g} GB"
