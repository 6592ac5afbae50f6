#!/usr/bin/env python3
"""Device-hours and money for 512 retrained and 512 unlearned networks on CIFAR-10, from stated throughputs.

    python deploy/costs.py --gpu-price 2 --core-price 0.03
    python deploy/costs.py --model resnet18 --images-per-second 9000 --gpu-price 2

No throughput here was measured by this project on a GPU; each says how it is known. The prices are yours.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import click
import torch
from torch.utils.flop_counter import FlopCounterMode

from forget512 import build_network
from forget512.scoring import COMPETITION_EPOCHS, COMPETITION_RUNS, COMPETITION_SHARE

IMAGES, RETAINED, TESTED = 50_000, 45_000, 10_000  # CIFAR-10; a tenth of its training images is forgotten
STEMS = {"resnet18": "7×7 stem", "resnet18-cifar": "CIFAR stem"}


def training_operations(model: str) -> float:
    """Of one image, forward and backward, a multiply-add as two. The backward pass takes twice the forward's."""
    net = build_network(model, 10, (32, 32, 3)).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 3, 32, 32))
    return 3 * counter.get_total_flops()


@dataclass(frozen=True)
class Throughput:
    """rate: training images a second on one device. known: how, and from what."""

    device: str
    model: str
    rate: float
    known: str
    core: bool = False  # a CPU core, not a GPU


def throughputs() -> Iterator[Throughput]:
    """What is known without a GPU of our own, slowest first in each network."""
    cifar = training_operations("resnet18-cifar")
    published = 32.3e15 / (7 * 60)  # operations a second: a standard ResNet-18 training on one A100
    step = 128 / 6e-3  # images a second where a step of 128 takes 6 ms, which is about its kernels' launches
    yield Throughput("CPU core, float32", "resnet18", 1125, "measured [1]", core=True)
    yield Throughput("CPU core, bfloat16", "resnet18", 1577, "measured [1]", core=True)
    yield Throughput("A100 or H100, one run", "resnet18", step, "estimated [2]")
    yield Throughput("A100 or H100, four runs", "resnet18", 3 * step, "estimated [2], at most [3]")
    yield Throughput("A100, bfloat16", "resnet18-cifar", published / cifar, "computed from published [4]")
    yield Throughput("H100, bfloat16", "resnet18-cifar", published / cifar * 989 / 312, "estimated from [4], [5]")


SOURCES = """\
[1] tests/benchmarks/engines/bench_live_taps.py on an AMD EPYC core, torch 2.14.0 (docs/performance.md)
[2] launch-bound: about 6 ms an eager step of 128 images, whatever the GPU; nobody has published one for this network
[3] Robroek et al., EuroMLSys 2024, doi 10.1145/3642970.3655827: up to three times the throughput of one run a GPU
[4] KellerJordan/cifar10-airbench, README: a standard ResNet-18 training, 32.3 PFLOP in 7 minutes on one A100; that is
    77 TFLOP/s, so not in float32; operations of our network counted by torch.utils.flop_counter
[5] NVIDIA's data sheets: 312 (A100) and 989 (H100 SXM) dense bfloat16 TFLOP/s; the same share of the peak assumed"""


@dataclass(frozen=True)
class Cost:
    """Hours on one device: of one retraining, of all retrainings and the original model, of all unlearnings."""

    one: float
    retrained: float
    unlearned: float

    @property
    def total(self) -> float:
        return self.retrained + self.unlearned


def cost(rate: float) -> Cost:
    """rate: training images a second.

    An unlearning takes what the competition allowed at most. Each run is examined on all images, at a third of
    training's operations. What is left out: start of the cluster, loading, runs that are repeated.
    """
    examined = (IMAGES + TESTED) / 3
    retraining = COMPETITION_EPOCHS * RETAINED + examined
    unlearning = COMPETITION_SHARE * COMPETITION_EPOCHS * RETAINED + examined
    original = COMPETITION_EPOCHS * IMAGES
    hourly = rate * 3600
    return Cost(
        retraining / hourly,
        (COMPETITION_RUNS * retraining + original) / hourly,
        COMPETITION_RUNS * unlearning / hourly,
    )


def row(found: Throughput, gpu_price: float, core_price: float) -> str:
    """A line of the table."""
    hours = cost(found.rate)
    price = hours.total * (core_price if found.core else gpu_price)
    cells = (found.device, STEMS[found.model], f"{found.rate:,.0f}", f"{hours.one * 60:,.1f} min",
             f"{hours.retrained:,.1f}", f"{hours.unlearned:,.1f}", f"{hours.total:,.1f}", f"{price:,.0f}",
             found.known)  # fmt: skip
    return f"| {' | '.join(cells)} |"


@click.command()
@click.option("--gpu-price", type=click.FloatRange(0), required=True, help="of one GPU for an hour")
@click.option("--core-price", type=click.FloatRange(0), default=0.0, show_default=True, help="of one core for an hour")
@click.option("--images-per-second", type=click.FloatRange(0, min_open=True), help="your own, on one GPU")
@click.option("--model", type=click.Choice(list(STEMS)), default="resnet18", show_default=True, help="of your own")
def main(gpu_price: float, core_price: float, images_per_second: float | None, model: str) -> None:
    """Print the table as Markdown."""
    own = [Throughput("yours", model, images_per_second, "you")] if images_per_second else None
    print("| device | network | images/s | one retraining | 512 + original, h | 512 unlearnings, h | in all, h | price "
          "| images/s are |")  # fmt: skip
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    for found in own or throughputs():
        print(row(found, gpu_price, core_price))
    if not own:
        print(f"\n{SOURCES}")


if __name__ == "__main__":
    main()
