"""What a CUDA machine has to show in a few minutes, without a network: most important first, each part with its limit.

    PYTHONPATH=. python tests/benchmarks/engines/bench_gpu.py RESULTS.jsonl --minutes 9 --data-dir data
    PYTHONPATH=. python tests/benchmarks/engines/bench_gpu.py RESULTS.jsonl --dry-run     # on a CPU, with tiny sizes

1. tests       the tests marked `gpu`
2. rates       images/s of a plain loop and of `train()` by each engine: networks × float32, TF32, bfloat16, batch 128
3. members     the same of 1, 2, 4, 8 processes at a time (start the MPS daemon before, to measure with it)
4. run         seconds of a retraining and of its examination; 30 epochs extrapolated from a few
5. evaluation  `evaluate finetune forget_remember` of 16, 64, … runs, as many as the rest of the time allows

A part is a process of its own, which is killed at its limit. Each result is a line of JSON that is appended to RESULTS
at once, and printed; confidences of the evaluation are in RESULTS.margins.npz (float16). No GPU has run this yet.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from forget512.algorithms import retrain
from forget512.algorithms.engines.choice import choosing
from forget512.algorithms.engines.cuda_graph import CudaGraph
from forget512.algorithms.training import Images, train
from forget512.harness.api.reading import open_store
from forget512.harness.benchmark import networks
from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.scheduling.mps import answers
from forget512.harness.store.record import RunRecord
from forget512.harness.worker.runner import Runner
from forget512.harness.worker.seeds import Seeds
from forget512.harness.worker.unlearn import set_up_torch

ROOT = Path(__file__).resolve().parents[3]
LIMITS = {"tests": 200, "rates": 120, "members": 90, "run": 60, "evaluation": 3600}  # seconds
SGD = {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}
STEPS = 60  # of an epoch here: enough for a graph
MEMBERS_IN = ("bfloat16", "float32")


class NoGraph(CudaGraph):
    """Lets an engine carry out steps one by one on CUDA, too."""

    @classmethod
    def usable(cls, device):
        return False


WAYS = {  # the engine and what records its steps
    "train(), auto": ("auto", None),
    "plain loop": None,
    "train(), eager": ("eager", None),
    "train(), eager, graph": ("eager", CudaGraph),
    "train(), live taps": ("auto", NoGraph),
}


class Sizes:
    """What is measured on a GPU; with --dry-run, the same on a CPU in seconds."""

    def __init__(self, dry: bool):
        self.device = torch.device("cpu" if dry else "cuda")
        self.networks = ["resnet8-thin"] if dry else ["resnet18", "resnet18-cifar", "resnet9"]
        self.shape, self.batch = ((8, 8, 1), 16) if dry else ((32, 32, 3), 128)
        self.members, self.window = ((1, 2), 1.0) if dry else ((1, 2, 4, 8), 6.0)  # processes; seconds each
        self.benchmark = {"dataset": "digits"} if dry else {"dataset": "cifar10", "model": "resnet18"}
        self.stages = (2, 4) if dry else (16, 64, 128, 256, 512)

    def images(self) -> Images:
        channels, count = self.shape[2], STEPS * self.batch
        pixels = torch.randint(256, (count, *self.shape), dtype=torch.uint8, device=self.device)
        targets = torch.randint(10, (count,), device=self.device)
        return Images(pixels, targets, (125.0,) * channels, (60.0,) * channels)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


@contextlib.contextmanager
def precision(name: str, device: torch.device):
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = name == "TF32"
    with torch.autocast(device.type, torch.bfloat16, enabled=name == "bfloat16", cache_enabled=False):
        yield


def epochs_of(way: str, network: str, sizes: Sizes):
    """A function of a number of epochs that trains one network for these, and names the engines."""
    net = networks.build(network, 10, sizes.shape).to(sizes.device)
    images = sizes.images()
    if WAYS[way] is None:
        inputs, targets = images.batch(slice(None))
        inputs = inputs.contiguous()  # what a tutorial has, but resident on the device
        optimizer = torch.optim.SGD(net.parameters(), **SGD)

        def plain(epochs: int) -> str:
            net.train()
            for _ in range(epochs):
                for chosen in torch.randperm(len(targets), device=sizes.device).split(sizes.batch):
                    loss = F.cross_entropy(net(inputs[chosen]), targets[chosen])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            sizes.wait()
            return "plain"

        return plain
    loader = DataLoader(images, sizes.batch, shuffle=True)

    def ours(epochs: int) -> str:
        with choosing(*WAYS[way]) as used:
            train(net, loader, epochs=epochs, **SGD)
        sizes.wait()
        return "+".join(sorted(used))

    return ours


def timed(work, *arguments):
    start = time.perf_counter()
    found = work(*arguments)
    return time.perf_counter() - start, found


def rates(say, sizes: Sizes, _) -> None:
    for network in sizes.networks:
        for name in ("float32", "bfloat16", "TF32"):
            for way in WAYS:
                if sizes.device.type == "cuda":
                    torch.cuda.empty_cache()
                    torch.cuda.reset_peak_memory_stats()
                with precision(name, sizes.device):
                    work = epochs_of(way, network, sizes)
                    work(1)
                    (short, used), (long, _) = timed(work, 1), timed(work, 4)
                step = (long - short) / (3 * STEPS)
                memory = torch.cuda.max_memory_reserved() / 2**30 if sizes.device.type == "cuda" else None
                say(
                    network=network,
                    precision=name,
                    way=way,
                    engines=used,
                    images_per_second=round(sizes.batch / step),
                    ms_a_step=round(1000 * step, 3),
                    seconds_to_begin=round(short - STEPS * step, 3),  # of a call of train(): a recording, above all
                    reserved_gib=memory and round(memory, 2),
                )


def member(index: int, sizes: Sizes, barrier, found) -> None:
    set_up_torch()
    for name in MEMBERS_IN:
        with precision(name, sizes.device):
            work = epochs_of("train(), auto", sizes.networks[0], sizes)
            work(1)
            for count in sizes.members:
                barrier.wait(timeout=60)
                if index < count:
                    start, epochs = time.perf_counter(), 0
                    while time.perf_counter() - start < sizes.window:
                        work(4)
                        epochs += 4
                    found.put(epochs * STEPS * sizes.batch / (time.perf_counter() - start))


def members(say, sizes: Sizes, _) -> None:
    """Whole trainings side by side, in processes, as the harness has them with --gpus-per-run 1/k."""
    spawn = multiprocessing.get_context("spawn")  # a fork would inherit a CUDA context
    most = max(sizes.members)
    barrier, found = spawn.Barrier(most), spawn.Queue()
    processes = [spawn.Process(target=member, args=(index, sizes, barrier, found)) for index in range(most)]
    for process in processes:
        process.start()
    for name in MEMBERS_IN:
        for count in sizes.members:
            values = [found.get(timeout=120) for _ in range(count)]
            say(precision=name, members=count, mps=answers(), images_per_second=round(sum(values)))
    for process in processes:
        process.join()


def run(say, sizes: Sizes, arguments) -> None:
    for name in ("float32", "bfloat16"):
        benchmark = make_benchmark(**sizes.benchmark, precision=name, data_dir=arguments.data_dir)
        parts = benchmark.training_part, benchmark.examination_part
        runner = Runner(*parts, str(sizes.device), 1.0)
        recipe = benchmark.recipe.hyper_parameters
        for engine in ("auto", "eager"):

            def retraining(epochs, engine=engine, recipe=recipe, runner=runner):
                settings = {**recipe, "epochs": epochs}
                return runner.unlearner.unlearn(retrain, settings, Seeds("gpu", 0), None, engine=engine)

            retraining(1)
            short, long = retraining(1), retraining(3)
            epoch = (long.seconds - short.seconds) / 2
            record = RunRecord("0" * 64, 0, 1, "finished", runner.provenance, seconds=long.seconds)
            runner.examiner.examine(long.state, record)
            examination, examined = timed(runner.examiner.examine, long.state, record)
            writing, _ = timed(replace(examined, seconds=1.0).encode)
            say(
                precision=name,
                engines=long.engine,
                seconds_an_epoch=round(epoch, 3),
                seconds_of_30_epochs=round(short.seconds + 29 * epoch, 2),
                seconds_of_examination=round(examination, 3),
                seconds_of_record=round(writing, 4),
                test_accuracy=round(examined.test_accuracy, 4),
            )


def tests(say, sizes: Sizes, arguments) -> None:
    which = "not slow and not gpu" if arguments.dry_run else "gpu"
    # These alone: others import packages that such a machine may lack.
    paths = [str(path) for path in sorted(ROOT.glob("tests/**/test_*.py")) if "mark.gpu" in path.read_text("utf-8")]
    paths = [path for path in paths if not arguments.dry_run or "cuda_graph" in path]
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--durations=10", "-m", which, *paths]
    with open(f"{arguments.results}.pytest.txt", "w") as file:  # stays where the part is cut
        status = subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT).returncode
    say(status=status, output=Path(file.name).read_text()[-3000:])


def evaluation(say, sizes: Sizes, arguments) -> None:
    where = ["--device=cpu"] if arguments.dry_run else ["--device=cuda", f"--gpus-per-run={arguments.share:g}"]
    epochs = 1 if arguments.dry_run else arguments.epochs
    options = [f"--epochs={epochs}", f"--precision={arguments.precision}", f"--data-dir={arguments.data_dir}"]
    options += [f"--{key}={value}" for key, value in sizes.benchmark.items()]
    with tempfile.TemporaryDirectory(prefix="forget512-gpu-") as store:
        for runs in sizes.stages:
            command = ["evaluate", "finetune", "forget_remember", "--json", f"--runs={runs}", *options, *where]
            full = [sys.executable, str(ROOT / "run_eval.py"), *command, f"--store={store}"]
            seconds, done = timed(lambda full=full: subprocess.run(full, capture_output=True, text=True))
            say(command=" ".join(command), seconds=round(seconds, 1), status=done.returncode, log=done.stderr[-2000:])
            if done.returncode:
                return
            say(board=json.loads(done.stdout))
            stored = open_store(store).benchmark()
            margins = {name: bank.confidences().astype(np.float16) for name, bank in stored.items()}
            np.savez_compressed(f"{arguments.results}.margins.npz", **margins)  # of the last stage: 3 × runs × 5,000


PARTS = {"tests": tests, "rates": rates, "members": members, "run": run, "evaluation": evaluation}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("results", type=os.path.abspath)
    parser.add_argument("--minutes", type=float, default=9.0, help="for all parts together")
    parser.add_argument("--data-dir", default="data", type=os.path.abspath)
    parser.add_argument("--epochs", type=int, default=5, help="of the evaluation's retrainings")
    parser.add_argument("--precision", default="bfloat16", help="of the evaluation")
    parser.add_argument("--share", type=float, default=0.25, help="of a GPU, that a run of the evaluation has")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--part", choices=PARTS, action="append", help="this one alone; several times for several")
    parser.add_argument("--within", choices=PARTS, help=argparse.SUPPRESS)  # what a part's own process is to do
    arguments = parser.parse_args()
    sizes = Sizes(arguments.dry_run)
    device = "cpu" if arguments.dry_run else torch.cuda.get_device_name()

    def say(**values) -> None:
        line = json.dumps({"device": device, "torch": torch.__version__, **values})
        print(line[:2000], flush=True)
        with open(arguments.results, "a") as file:
            file.write(f"{line}\n")

    if arguments.within:
        set_up_torch()
        PARTS[arguments.within](lambda **values: say(part=arguments.within, **values), sizes, arguments)
        return
    end = time.monotonic() + 60 * arguments.minutes
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    for part in arguments.part or PARTS:
        limit = min(LIMITS[part], end - time.monotonic())
        if limit < 5:
            say(part=part, ended="not begun")
            continue
        command = [sys.executable, __file__, *sys.argv[1:], "--within", part]
        process = subprocess.Popen(command, start_new_session=True, env={**os.environ, "PYTHONPATH": path})
        start = time.monotonic()
        try:
            ended = f"status {process.wait(limit)}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            ended = f"cut at {limit:.0f} s"
        say(part=part, ended=ended, seconds=round(time.monotonic() - start, 1))


if __name__ == "__main__":
    main()
