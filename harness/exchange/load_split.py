"""Reads the folder of this file: its data and its original model. Saves unlearned networks in it.

It needs numpy, torch and safetensors (and torchvision, if model.py imports it). Copy what your program needs.
"""

import json
from pathlib import Path

import numpy as np
import torch
from model import build
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

HERE = Path(__file__).resolve().parent
BENCHMARK = json.loads((HERE / "benchmark.json").read_text())


def datasets() -> dict[str, TensorDataset]:
    """Return retain, forget and validation set: inputs (n, channels, H, W) float32, normalised; targets (n,) int64."""
    with np.load(HERE / "data.npz") as arrays:
        return {
            name: TensorDataset(normalised(arrays[f"{name}_images"]), torch.from_numpy(arrays[f"{name}_targets"]))
            for name in ("retain", "forget", "validation")
        }


def normalised(images: np.ndarray) -> Tensor:
    """Convert (n, H, W, channels) uint8 to (n, channels, H, W) float32, the original model's training format."""
    mean, std = (torch.tensor(BENCHMARK[name]) for name in ("mean", "std"))
    return ((torch.from_numpy(images).float() - mean) / std).permute(0, 3, 1, 2)


def loaders(seed: int) -> tuple[DataLoader, DataLoader, DataLoader]:
    """Return loaders of retain, forget (both shuffled by the seed) and validation, with the benchmark's batch size."""
    found = []
    for name, data in datasets().items():
        order = torch.Generator().manual_seed(seed)
        size = BENCHMARK["recipe"]["batch_size"]
        found.append(DataLoader(data, size, shuffle=name != "validation", generator=order))
    return found[0], found[1], found[2]


def original() -> nn.Module:
    """Load the network that unlearning starts from, on the CPU."""
    net = build()
    net.load_state_dict(load_file(HERE / "original.safetensors"))
    return net


def save(net: nn.Module, seed: int, folder: str | Path = "checkpoints") -> None:
    """Save an unlearned network in the folder that `examine` reads."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    save_file(state, Path(folder) / f"{seed:05d}.safetensors")
