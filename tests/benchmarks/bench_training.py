"""Images/s of one core: our training loop beside a plain eager float32 loop over torchvision's ResNet-18.

    python tests/benchmarks/bench_training.py [--rounds 5] [--device cpu]

Both train torchvision's ResNet-18 on 32 × 32 × 3 images (random pixels: speed does not depend on them) with batch 128
and SGD with momentum. The baseline is what a tutorial writes: images as a float32 tensor, contiguous format, a
DataLoader, torch.optim.SGD. Rounds of the two alternate, so that a change of the machine's speed meets both.
"""

import argparse
import platform
import statistics
import time

import torch
import torch._dynamo
import torch.nn.functional as F
import torchvision
from torch.utils.data import DataLoader, TensorDataset

from forget512.algorithms.training import Images, train

IMAGES, BATCH = 1024, 128


def plain_loop(device):
    net = torchvision.models.resnet18(num_classes=10).to(device).train()
    images, targets = torch.randn(IMAGES, 3, 32, 32), torch.randint(10, (IMAGES,))
    loader = DataLoader(TensorDataset(images, targets), BATCH, shuffle=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def epoch():
        for inputs, labels in loader:
            inputs, labels = inputs.to(device), labels.to(device)
            loss = F.cross_entropy(net(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def our_loop(device, dtype):
    net = torchvision.models.resnet18(num_classes=10).to(device=device, memory_format=torch.channels_last)
    pixels = torch.randint(256, (IMAGES, 32, 32, 3), dtype=torch.uint8, device=device)
    images = Images(pixels, torch.randint(10, (IMAGES,), device=device), (125.0,) * 3, (60.0,) * 3)
    loader = DataLoader(images, BATCH, shuffle=True)

    def epoch():
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16", cache_enabled=False):
            train(net, loader, epochs=1, lr=0.01)

    return epoch


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    torch.set_num_threads(1)
    loops = {
        "plain eager float32": plain_loop(device),
        "train(), float32": our_loop(device, "float32"),
        "train(), bfloat16": our_loop(device, "bfloat16"),
    }
    rates = {name: [] for name in loops}
    for round_ in range(arguments.rounds + 1):
        for name, epoch in loops.items():
            start = time.perf_counter()
            epoch()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if round_:  # the first warms up
                rates[name].append(IMAGES / (time.perf_counter() - start))
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{platform.processor() or 'CPU'}, one thread"
    print(f"ResNet-18, 32 x 32, batch {BATCH}, {arguments.rounds} rounds, torch {torch.__version__}, {where}")
    base = rates["plain eager float32"]
    for name, values in rates.items():
        ratios = [a / b for a, b in zip(values, base, strict=True)]
        print(
            f"{name:20s} {statistics.median(values):6.0f} images/s ({min(values):.0f} to {max(values):.0f}),"
            f" ratio to the plain loop {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
