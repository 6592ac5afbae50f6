"""An original model from a user's file: read without running code, and held against the benchmark's architecture."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from harness.benchmark import Benchmark
from harness.errors import UserError, first_line
from harness.unlearn import fresh_network

WRAPPED = ("state_dict", "model_state_dict")  # keys of the checkpoints that training scripts write
PARALLEL = "module."  # what DataParallel puts before each name


def read_original(path: Path, benchmark: Benchmark) -> bytes:
    """The state in a file, as the safetensors bytes that are kept of original models.

    path: safetensors, or what torch.save wrote: a state_dict, or a dictionary that has one under `state_dict` or
    `model_state_dict`. Half-precision weights become the architecture's type. Equal weights give equal bytes, whatever
    file they come from.

    Raises:
        UserError: it cannot be read, holds more than tensors, or does not fit the architecture: the first difference.
    """
    where = f"--original {path}"
    state = _read(path, where)
    if state and all(name.startswith(PARALLEL) for name in state):
        state = {name.removeprefix(PARALLEL): value for name, value in state.items()}
    with torch.random.fork_rng():
        wanted = fresh_network(benchmark.training_part, torch.device("cpu")).state_dict()
    what = f"{benchmark.model} for {benchmark.dataset.name}"
    for name, value in wanted.items():
        if name not in state:
            raise UserError(f"{where} lacks {name!r}, which {what} has: give the --model that it was trained as.")
        if state[name].shape != value.shape:
            raise UserError(
                f"{where}: {name!r} has shape {tuple(state[name].shape)}, but {tuple(value.shape)} in {what}."
            )
        if not torch.isfinite(state[name]).all():
            raise UserError(f"{where}: {name!r} holds values that are not finite (NaN or infinite).")
    foreign = next((name for name in state if name not in wanted), None)
    if foreign is not None:
        raise UserError(f"{where} has {foreign!r}, which {what} lacks.")
    return save({name: state[name].detach().to(value.dtype, copy=True).contiguous() for name, value in wanted.items()})


def _read(path: Path, where: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"{where} does not exist.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's, about pickles of other protocols
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{where} was not loaded: it holds more than tensors, and pickled objects can run code; save "
            "net.state_dict() alone."
        ) from error
    except (SafetensorError, OSError, EOFError, ValueError, LookupError, RuntimeError, TypeError) as error:
        raise UserError(
            f"{where} cannot be read as a checkpoint ({type(error).__name__}: {first_line(error)})."
        ) from error
    if isinstance(found, dict):
        found = next((found[key] for key in WRAPPED if key in found), found)
    if not isinstance(found, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in found.items()):
        raise UserError(
            f"{where} holds no state_dict (names with tensors), nor one under `state_dict` or `model_state_dict`."
        )
    return found
