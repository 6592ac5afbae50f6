"""The fork server: a process of its own below a guard, which forks for each run of a user's code.

It has torch imported and the training part in memory, and neither a CUDA context nor a thread. It watches each run's
time and memory, and ends all that the run started. Requests are pickles of the worker; what goes back is a safetensors
file or a JSON error, never a pickled object. What a run may do, and what happens then: docs/faults.md.
"""

import contextlib
import json
import os
import pickle
import select
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import BinaryIO

import torch
import torch._dynamo  # optimizers import it at their first step: a second that each fork would pay
import torchvision  # noqa: F401  many candidates import it; here it is imported once
from safetensors.torch import save

from forget512.algorithms.engines.choice import prepare
from forget512.harness.candidates.user_file import ENTRY, changed, describe_error, import_files
from forget512.harness.isolation.process_tree import end_descendants, killed_with, memory_below, taken_first
from forget512.harness.worker.faults import of_the_accelerator, of_the_machine
from forget512.harness.worker.fork_client import ERROR, NOTHING_LEFT, OUTPUT, RESULT, Request
from forget512.harness.worker.unlearn import Unlearner, fresh_network, set_up_torch

LOOK = 0.25  # seconds between two looks at a run's memory, at least
LOOK_SHARE = 0.03  # of the time that looks may take: there are machines with thousands of processes


def main() -> None:
    """The server's process: its standard input and output are the pipes to the worker."""
    pipes = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # nothing but replies goes to the worker
    try:
        serve(*pipes)
    except SystemExit as ended:
        os._exit(int(ended.code or 0))  # an orderly exit would take torch a second


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Fork for each request until the worker is gone."""
    training, device = pickle.load(requests)
    set_up_torch()
    unlearner = Unlearner(training, torch.device(device), images_on=torch.device("cpu"))
    net = fresh_network(training, torch.device("cpu"))  # a user's network file is imported here, once for all forks
    if device == "cpu":
        height, width, channels = training.image_shape
        prepare(net, torch.zeros(2, channels, height, width))  # for candidates that call our train()
    wakeups = _wake_when_a_child_ends()
    server, folder = os.getpid(), ""
    try:
        while True:
            try:
                request: Request = pickle.load(requests)
            except EOFError:
                return
            folder = request.folder
            child = os.fork()
            if child == 0:
                code = 0
                try:
                    become_a_run(server, requests.fileno(), replies.fileno(), *wakeups)
                    perform(unlearner, request)
                except BaseException as error:
                    code = NOTHING_LEFT if of_the_machine(error) else 0
                finally:
                    os._exit(code)  # threads and exit handlers that the candidate left do not count
            reply = watch(child, request, requests, wakeups[0])
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # where orphans are not adopted, this finds most
            end_descendants()
            replies.write(f"{json.dumps(reply)}\n".encode())
            replies.flush()
            folder = ""
    finally:
        end_descendants()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)  # the worker is gone and cannot do it


def watch(child: int, request: Request, requests: BinaryIO, wakeup: int) -> tuple[int, str]:
    """Wait until the run ends, or end it: its wait status, and the limit that it passed (empty where it did not)."""
    start = now = time.monotonic()
    look = start + LOOK
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status, ""
        stopped = f"it did not finish within {request.timeout:g} s" if now - start >= request.timeout else ""
        if now >= look:
            held = memory_below(request.memory)
            look = now + max(LOOK, (time.monotonic() - now) / LOOK_SHARE)
            if held > request.memory:
                stopped = f"it held {held / 1e9:.2f} GB of memory; a run may hold {request.memory / 1e9:.2f} GB here"
        if stopped:
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1], stopped
        wait = max(0.0, min(start + request.timeout, look) - time.monotonic())
        readable, _, _ = select.select([requests.fileno(), wakeup], [], [], wait)
        if requests.fileno() in readable:
            signal.raise_signal(signal.SIGTERM)  # nothing is sent while a run goes on: the worker is gone
        if wakeup in readable:
            os.read(wakeup, 4096)
        now = time.monotonic()


def _wake_when_a_child_ends() -> tuple[int, int]:
    """A pipe, its reading end first, that can be read when a child of this process has ended."""
    pipe = os.pipe()
    for end in pipe:
        os.set_blocking(end, False)
    signal.set_wakeup_fd(pipe[1], warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return pipe


def become_a_run(server: int, *ours: int) -> None:
    """In the fork: close what is the server's, and have this process end with the server."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    for file in ours:
        os.close(file)
    os.setsid()
    killed_with(server)
    taken_first()


def perform(unlearner: Unlearner, request: Request) -> None:
    """In the fork: import the candidate from the sources that were sent, run it, leave a result or an error."""
    folder, algorithm = Path(request.folder), request.algorithm
    output = os.open(folder / OUTPUT, os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = (os.fdopen(fd, "w", buffering=1, closefd=False) for fd in (1, 2))
    sources = folder / "sources"
    try:
        sys.path.insert(0, algorithm.folder)
        function = getattr(import_files(algorithm.folder, algorithm.files, sources), ENTRY)
        state, seconds = unlearner.unlearn(
            function,
            changed(function, algorithm.hyper_parameters),
            request.seeds,
            request.original,
            algorithm.batch_format,
        )
        _leave(folder / RESULT, save(state, metadata={"seconds": repr(seconds)}))
    except BaseException as error:  # SystemExit and KeyboardInterrupt are the candidate's failure as well
        text = "".join(traceback.format_exception(error)).replace(f"{sources}{os.sep}", "")
        answer = {
            "error": describe_error(error, algorithm.folder, str(sources)),
            "traceback": text,
            "machine": of_the_machine(error),
            "doubtful": of_the_accelerator(error),
        }
        _leave(folder / ERROR, json.dumps(answer).encode())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # closed by the candidate, or its disk is full
                stream.flush()


def _leave(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)  # an OSError tells what the disk said; safetensors' own writing does not
    os.rename(part, path)
