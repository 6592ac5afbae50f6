"""Reads an original model from a user's file without running code, and checks it against the architecture."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.errors import UserError
from forget512.harness.exchange.checkpoints import NotACheckpoint, as_named, read_state
from forget512.harness.worker.unlearn import fresh_network


def read_original(path: Path, benchmark: Benchmark) -> bytes:
    """Read the state in a file, and return it as the safetensors bytes that stores keep of original models.

    path: safetensors, or a file of torch.save with a state_dict, or with a dictionary that has one under `state_dict`
    or `model_state_dict`. Weights of other precisions are converted to the architecture's type. Equal weights give
    equal bytes, whatever file they come from.

    Raises:
        UserError: it cannot be read, holds more than tensors, or does not fit the architecture.
    """
    where = f"--original {path}"
    if not path.is_file():
        raise UserError(f"{where} does not exist.")
    try:
        state = read_state(path.read_bytes(), limit=sys.maxsize)
    except OSError as error:
        raise UserError(f"{where} cannot be read ({error.strerror}).") from error
    except MemoryError as error:
        raise UserError(f"{where} cannot be read as a checkpoint: it needs more memory than is available.") from error
    except NotACheckpoint as error:
        raise UserError(f"{where}: {error}.") from error
    with torch.random.fork_rng():
        wanted = fresh_network(benchmark.training_part, torch.device("cpu")).state_dict()
    state = as_named(state, wanted)
    what = f"{benchmark.model} for {benchmark.dataset.name}"
    found = {}
    for name, value in wanted.items():
        if name not in state:
            raise UserError(f"{where} lacks {name!r}, which {what} has: give the --model that it was trained with.")
        if state[name].shape != value.shape:
            raise UserError(
                f"{where}: {name!r} has shape {tuple(state[name].shape)}, but {tuple(value.shape)} in {what}."
            )
        found[name] = state[name].detach().to(value.dtype, copy=True).contiguous()
        if not all(torch.isfinite(values).all() for values in (state[name].double(), found[name])):
            raise UserError(f"{where}: {name!r} holds values that are not finite (NaN or infinite) as {value.dtype}.")
    foreign = next((name for name in state if name not in wanted), None)
    if foreign is not None:
        raise UserError(f"{where} has {foreign!r}, which {what} lacks.")
    return save(found)
