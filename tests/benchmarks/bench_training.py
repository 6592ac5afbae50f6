"""Images/s of one core: our training loop by each of its engines, beside a plain eager float32 loop, in pairs.

    python tests/benchmarks/bench_training.py [--network resnet8-thin] [--rounds 5] [--device cpu]

Both train a network of the benchmarks on random pixels (speed does not depend on them) by SGD with momentum: digits'
resnet8-thin on 8 × 8 × 1 pixels in batches of 64, others on 32 × 32 × 3 in batches of 128. The baseline is what a
tutorial writes: images as a float32 tensor, contiguous format, a DataLoader, torch.optim.SGD. Rounds of all alternate,
so that a change of the machine's speed meets each, and ratios are of the same round. On a CPU, time is the process's
own, which leaves out what other processes take.
"""

import argparse
import platform
import statistics
import time

import torch
import torch._dynamo  # optimizers import it at their first step
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from forget512.algorithms.engines.choice import CHOICES, choosing
from forget512.algorithms.training import Images, train
from forget512.harness.benchmark import networks

SMALL = ("resnet8-thin",)  # networks for 8 × 8 images


class Setting:
    """A network, its images, and how many of them are in a batch."""

    def __init__(self, network: str, device: torch.device):
        self.network, self.device = network, device
        size, channels, self.batch, self.images = (8, 1, 64, 1280) if network in SMALL else (32, 3, 128, 1024)
        self.shape = (size, size, channels)

    def net(self):
        return networks.build(self.network, 10, self.shape).to(self.device)


def plain_loop(setting: Setting):
    net = setting.net().train()
    height, width, channels = setting.shape
    images, targets = torch.randn(setting.images, channels, height, width), torch.randint(10, (setting.images,))
    loader = DataLoader(TensorDataset(images, targets), setting.batch, shuffle=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def epoch():
        for inputs, labels in loader:
            inputs, labels = inputs.to(setting.device), labels.to(setting.device)
            loss = F.cross_entropy(net(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return "plain"

    return epoch


def our_loop(setting: Setting, engine: str, dtype: str):
    net = setting.net()
    pixels = torch.randint(256, (setting.images, *setting.shape), dtype=torch.uint8, device=setting.device)
    channels = setting.shape[2]
    targets = torch.randint(10, (setting.images,), device=setting.device)
    loader = DataLoader(Images(pixels, targets, (125.0,) * channels, (60.0,) * channels), setting.batch, shuffle=True)

    def epoch():
        bfloat16 = torch.autocast(setting.device.type, torch.bfloat16, enabled=dtype == "bfloat16", cache_enabled=False)
        with bfloat16, choosing(engine) as used:
            train(net, loader, epochs=1, lr=0.01)
        return ", ".join(sorted(used))

    return epoch


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", choices=networks.MODELS, action="append", help="several times for several")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    torch.set_num_threads(1)
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{platform.processor() or 'CPU'}, one thread"
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    print(f"{arguments.rounds} rounds, torch {torch.__version__}, {where}")
    for network in arguments.network or ("resnet8-thin", "resnet8", "resnet18"):
        setting = Setting(network, device)
        loops = {"plain eager float32": plain_loop(setting)} | {
            f"train(), {dtype}, {engine}": our_loop(setting, engine, dtype)
            for dtype in ("float32", "bfloat16")
            for engine in CHOICES
        }
        rates, carried = {name: [] for name in loops}, {}
        for round_ in range(arguments.rounds + 1):
            for name, epoch in loops.items():
                start = clock()
                carried[name] = epoch()
                if device.type == "cuda":
                    torch.cuda.synchronize()
                if round_:  # the first warms up
                    rates[name].append(setting.images / (clock() - start))
        report(setting, rates, carried)


def report(setting: Setting, rates: dict[str, list[float]], carried: dict[str, str]):
    print(f"\n{setting.network}, {' × '.join(map(str, setting.shape))}, batch {setting.batch}")
    base = rates["plain eager float32"]
    for name, values in rates.items():
        ratios = [a / b for a, b in zip(values, base, strict=True)]
        print(
            f"{name:26s} {carried[name]:10s} {statistics.median(values):6.0f} images/s ({min(values):.0f} to "
            f"{max(values):.0f}), ratio to the plain loop {statistics.median(ratios):.2f} ({min(ratios):.2f} to "
            f"{max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
