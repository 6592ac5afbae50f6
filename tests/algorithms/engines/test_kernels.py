"""Each layer of the row engine against PyTorch, in float64 and float32, on wide and narrow vectors."""

from __future__ import annotations

import copy
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from forget512.algorithms.engines import kernels, rows
from forget512.harness.isolation.environment import ROOT


class Residual(nn.Module):
    """x + layer(x), with the ReLU behind it that is asked for."""

    def __init__(self, layer: nn.Module, relu: bool, swapped: bool = False):
        super().__init__()
        self.layer, self.relu, self.swapped = layer, relu, swapped

    def forward(self, x):
        y = x + self.layer(x) if self.swapped else self.layer(x) + x
        return torch.relu(y) if self.relu else y


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def convolution(channels, *arguments, **options):
    """A convolution to so many channels, behind one that its gradient goes to and before one that gives it one."""
    return nn.Sequential(nn.Conv2d(2, 5, 1), nn.Conv2d(5, channels, *arguments, **options), nn.Conv2d(channels, 2, 1))


def norm(*following):
    return nn.Sequential(nn.Conv2d(2, 6, 1), nn.BatchNorm2d(6, eps=1e-3, momentum=0.3), *following)


LAYERS = {
    "3 x 3": lambda: convolution(8, 3, padding=1, bias=False),
    "3 x 3, stride 2": lambda: convolution(9, 3, stride=2, padding=1),
    "1 x 1, stride 2": lambda: convolution(4, 1, stride=2),
    "5 x 5, padding 2": lambda: convolution(3, 5, padding=2),
    "3 x 3, no padding": lambda: convolution(7, 3),
    "2 x 3, oblong stride": lambda: convolution(8, (2, 3), stride=(1, 2), padding=(1, 0)),
    "all taps outside at the corners": lambda: convolution(5, 1, padding=2),
    "one channel": lambda: convolution(1, 3, padding=1),
    "norm": lambda: norm(),
    "norm, relu": lambda: norm(nn.ReLU()),
    "norm in evaluation mode": lambda: norm(nn.ReLU(inplace=True)).eval(),
    "relu alone": lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Conv2d(3, 4, 1)),
    "residual": lambda: nn.Sequential(nn.Conv2d(2, 6, 1), Residual(nn.Conv2d(6, 6, 3, padding=1), relu=False)),
    "residual, relu": lambda: nn.Sequential(nn.Conv2d(2, 6, 1), Residual(nn.Conv2d(6, 6, 3, padding=1), relu=True)),
    "norm, residual, relu": lambda: nn.Sequential(nn.Conv2d(2, 6, 1), Residual(norm_of(6), relu=True)),
    "residual, norm": lambda: nn.Sequential(nn.Conv2d(2, 6, 1), Residual(norm_of(6), relu=False, swapped=True)),
    "mean": lambda: nn.Sequential(nn.Conv2d(2, 6, 3), Mean(), nn.Linear(6, 3)),
    "pooling, linear": lambda: nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)
    ),
    "linear over pixels": lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(36, 5, bias=False)),
}


def norm_of(channels):
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels))


def results(net, forward, backward, inputs, slope):
    logits = forward(inputs)
    backward((logits * slope).sum())
    gradients = [p.grad for p in net.parameters()]
    return [logits.detach(), *gradients, *(value.double() for value in net.buffers())]


dtypes = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


@dtypes
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_gives_the_values_gradients_and_statistics_of_pytorch(name, dtype):
    """For 64 images (whole vectors), then 13, then 70 and 2: the memory holds others' values."""
    torch.manual_seed(0)
    net = nn.Sequential(LAYERS[name](), nn.Flatten()).to(dtype)
    other = copy.deepcopy(net)
    steps = torch.optim.SGD(net.parameters(), lr=0.0)
    with rows.offer(net, steps, torch.zeros(2, 2, 6, 5, dtype=dtype), watched=True) as engine:
        for n in (64, 13, 70, 2):
            inputs = 3 * torch.randn(n, 2, 6, 5, dtype=dtype)
            slope = torch.randn_like(other(inputs))
            other.load_state_dict(net.state_dict())
            found = results(net, engine.forward, engine.backward, inputs, slope)
            other.zero_grad()
            wanted = results(other, other, torch.Tensor.backward, inputs, slope)
            for one, two in zip(found, wanted, strict=True):
                torch.testing.assert_close(one, two, rtol=0, atol=1e-10 if dtype == torch.float64 else 1e-3)


@dtypes
def test_what_is_not_finite_stays_so(dtype):
    net = nn.Sequential(norm(nn.ReLU()), nn.Flatten()).to(dtype)
    forward = rows.inference(net.eval(), torch.zeros(1, 2, 3, 3, dtype=dtype))
    inputs = torch.randn(20, 2, 3, 3, dtype=dtype)
    inputs[3, 0, 1, 1] = torch.nan
    assert torch.equal(forward(inputs).isfinite(), net(inputs).isfinite()) and forward(inputs).isnan().any()


def test_rows_are_whole_vectors():
    lanes = kernels.LANES[torch.zeros(1).numpy().dtype]
    assert [kernels.pitch_of(n, torch.zeros(1).numpy().dtype) for n in (1, lanes, lanes + 1)] == [
        lanes,
        lanes,
        2 * lanes,
    ]
    assert kernels.BITS in (128, 256, 512)


@pytest.mark.slow
@pytest.mark.parametrize("fails", ["when it is found", "when it is written"])
def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, fails):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "cache" if fails == "when it is found" else tmp_path / "cache"
    code = f"""
import numpy, shutil, pathlib
from forget512.algorithms.engines import kernels
if {fails == "when it is written"}:
    shutil.rmtree({str(folder)!r})
    pathlib.Path({str(folder)!r}).touch()
kernels.compile_for(numpy.dtype("float32"))
print(len(kernels.forward.signatures), len(kernels.backward.signatures))
"""
    settings = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "HOME": str(tmp_path / "file")}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=settings, capture_output=True, text=True)
    assert done.stdout == "1 1\n", done.stderr


@pytest.mark.parametrize(
    ("bits", "cpu", "features"),
    [(256, "haswell", "+avx2,+fma"), pytest.param(128, "generic", "", marks=pytest.mark.slow)],
)
def test_layers_are_right_on_processors_with_shorter_vectors(bits, cpu, features):
    code = f"from forget512.algorithms.engines.kernels import BITS; assert BITS == {bits}; import pytest, sys;"
    code += (
        f"sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-k', 'values_gradients and float64', {__file__!r}]))"
    )
    settings = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True
    )
    assert done.returncode == 0 and f"{len(LAYERS)} passed" in done.stdout, done.stdout + done.stderr


TRAIN = """
import hashlib, torch
from forget512.algorithms.engines.choice import choosing
from forget512.algorithms.training import Images, train
from forget512.harness.benchmark.networks import build
torch.set_num_threads(1)
torch.manual_seed(0)
net = build("resnet8-thin", 3, (8, 8, 1))
images = Images(torch.randint(256, (96, 8, 8, 1), dtype=torch.uint8), torch.arange(96) % 3, [128.0], [64.0])
with choosing("auto") as used:
    train(net, torch.utils.data.DataLoader(images, 32), epochs=3, lr=0.1)
print(used, hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in net.parameters())).hexdigest())
"""


@pytest.mark.slow
def test_what_was_just_compiled_and_what_comes_from_the_cache_give_the_same_bits(tmp_path):
    printed = [
        subprocess.run(
            [sys.executable, "-c", TRAIN],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert printed[0] == printed[1] and "rows" in printed[0]
