"""Images/s of one core with the live-taps engine, beside a plain loop, one in channels_last and `train()`.

    python tests/benchmarks/engines/bench_live_taps.py --rounds 5 --models resnet18

All train the same network on 32 × 32 × 3 random images with batch 128 and SGD (momentum, weight decay). Rounds
alternate, and times are the process's own (CPU), so that others at work disturb all alike. --profile prints instead
where a step with live taps spends its time.
"""

import argparse
import itertools
import statistics
import time

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from forget512.algorithms.engines import live_taps
from forget512.algorithms.engines.choice import choosing
from forget512.algorithms.engines.eager import Eager
from forget512.algorithms.training import Images, train
from forget512.harness.benchmark import networks

BATCH = 128
SGD = {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}


def contiguous(net, inputs, targets, steps):
    """What a tutorial writes."""
    loop(Eager(net, torch.optim.SGD(net.parameters(), **SGD)), inputs.contiguous(), targets, steps)


def channels_last(net, inputs, targets, steps):
    loop(Eager(net, torch.optim.SGD(net.parameters(), **SGD, fused=True)), inputs, targets, steps)


def trained(engine):
    def epoch(net, inputs, targets, steps):
        pixels = torch.randint(256, (steps * BATCH, 32, 32, 3), dtype=torch.uint8)
        images = Images(pixels, targets.repeat(steps), (125.0,) * 3, (60.0,) * 3)
        with choosing(engine):
            train(net, DataLoader(images, BATCH), epochs=1, lr=SGD["lr"])

    return epoch


def live(watched):
    """watched: with a callback on weights, so that dead taps stay in the optimizer."""

    def epoch(net, inputs, targets, steps):
        optimizer = torch.optim.SGD(net.parameters(), **SGD, fused=True)
        offered = live_taps.offer(net, optimizer, inputs, watched)
        if offered is None:
            loop(Eager(net, optimizer), inputs, targets, steps)
        else:
            with offered as engine:
                loop(engine, inputs, targets, steps)

    return epoch


def loop(engine, inputs, targets, steps):
    for _ in range(steps):
        engine.backward(F.cross_entropy(engine.forward(inputs), targets))
        engine.step()


LOOPS = {
    "plain loop": contiguous,
    "plain loop, channels_last": channels_last,
    "train(), eager": trained("eager"),
    "train(), auto": trained("auto"),
    "live taps, watched": live(watched=True),
    "live taps": live(watched=False),
}


def build(model, loop):
    layout = torch.contiguous_format if loop is contiguous else torch.channels_last
    return networks.build(model, 10, (32, 32, 3)).to(memory_format=layout).train()


def data():
    inputs = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    return inputs, torch.randint(10, (BATCH,))


def compare(model, rounds, steps):
    inputs, targets = data()
    ways = list(itertools.product(("float32", "bfloat16"), LOOPS))
    nets = {way: build(model, LOOPS[way[1]]) for way in ways}
    rates = {way: [] for way in ways}
    for round_ in range(rounds + 1):
        for way in ways:
            with torch.autocast("cpu", torch.bfloat16, enabled=way[0] == "bfloat16", cache_enabled=False):
                start = time.process_time()
                LOOPS[way[1]](nets[way], inputs, targets, steps)
            if round_:  # the first warms up
                rates[way].append(steps * BATCH / (time.process_time() - start))
    print(f"{model}, 32 x 32, batch {BATCH}, {rounds} rounds of {steps} steps, torch {torch.__version__}, one thread")
    for way, values in rates.items():
        ratios = [a / b for a, b in zip(values, rates["float32", "plain loop"], strict=True)]
        print(
            f"  {way[0]:8s} {way[1]:26s} {statistics.median(values):6.0f} images/s ({min(values):.0f} to "
            f"{max(values):.0f}), ratio to the plain float32 loop {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


def profile(model, steps):
    inputs, targets = data()
    for dtype in ("float32", "bfloat16"):
        net, epoch = build(model, live), live(watched=False)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16", cache_enabled=False):
            epoch(net, inputs, targets, 2)
            with torch.profiler.profile() as found:
                epoch(net, inputs, targets, steps)
        print(f"{model}, {dtype}, {steps} steps")
        print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=22, max_name_column_width=40))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--models", default="resnet18,resnet18-cifar")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for model in arguments.models.split(","):
        if arguments.profile:
            profile(model, arguments.steps)
        else:
            compare(model, arguments.rounds, arguments.steps)


if __name__ == "__main__":
    main()
