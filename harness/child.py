"""A user's code runs here: in a fork of a fork server, so that whatever it does costs its run alone.

The server is a process of its own, below a guard (`python -m harness.guard`), with torch imported, the training part
in memory, and neither a CUDA context nor a thread; it forks for each run, watches its time and memory, and ends all
that it started. Requests go to it as pickles of ours; what comes back is a safetensors file or a JSON error, never a
pickled object. The last of a run's output is kept with its record. What a run may do, and what happens then:
docs/faults.md.
"""

import contextlib
import errno
import json
import math
import os
import pickle
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
import torch._dynamo  # optimizers import it at their first step: a second that each fork would pay
import torchvision  # noqa: F401  many candidates import it; here it is imported once
from safetensors import safe_open
from safetensors.torch import save

from harness.benchmark import TrainingPart
from harness.candidate_file import ENTRY, changed, describe_error, environment, import_file
from harness.candidates import Algorithm
from harness.process_tree import end_descendants, killed_with, memory_below, taken_first
from harness.schedule import MachineFault
from harness.unlearn import Seeds, State, Unlearner, fresh_network, set_up_torch

KEPT_OUTPUT = 4000  # bytes of a run's last output
LOOK = 0.25  # seconds between two looks at a run's memory, at least
LOOK_SHARE = 0.03  # of the time that looks may take: there are machines with thousands of processes
# Signals by which the kernel's out-of-memory killer, Slurm and spot machines end processes.
ENDED_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
OUT_OF_MEMORY = ("out of memory", "can't allocate memory")  # by torch's allocators and drivers, as RuntimeError
OF_THE_ACCELERATOR = ("CUDA error", "CUDA driver error", "cuDNN error")  # a RuntimeError before torch 2.8, or still
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)  # full, over a quota or a limit, or broken
NOTHING_LEFT = os.EX_IOERR  # exit status of a run that cannot even write its error
RESULT, ERROR, OUTPUT, SOURCES = "result.safetensors", "error.json", "output.txt", "sources"


class ChildFailed(Exception):
    """A candidate's own failure: one line, its traceback, its last output.

    doubtful: a machine that is not in order would give it too.
    """

    def __init__(self, error: str, traceback: str, output: str, doubtful: bool = False):
        super().__init__(error)
        self.traceback, self.output, self.doubtful = traceback, output, doubtful


@dataclass(frozen=True)
class Request:
    algorithm: Algorithm
    seeds: Seeds
    folder: str  # for the result
    timeout: float  # seconds
    memory: float  # bytes


class ForkServer:
    """The actor's end."""

    def __init__(self, training: TrainingPart, original: bytes, device: str, memory: float = math.inf):
        """memory: bytes that a run may hold."""
        self.output = ""  # the last of what the last run printed
        self.memory = memory
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.guard", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            start_new_session=True,
        )
        self._send((training, original, device))

    def run(self, algorithm: Algorithm, seeds: Seeds, timeout: float | None = None) -> tuple[State, float]:
        """The unlearned network's state and the seconds it took. timeout: seconds that the run may take in all.

        Raises:
            ChildFailed: the candidate raised, returned no network, ended its process, or was stopped at a limit.
            MachineFault: memory ran out, a disk is full or broken, or a process was ended from outside.
        """
        with tempfile.TemporaryDirectory(prefix="forget512-") as name:
            folder = Path(name)
            self._send(Request(algorithm, seeds, name, math.inf if timeout is None else timeout, self.memory))
            assert self.process.stdout
            reply = self.process.stdout.readline()
            if not reply:
                raise self._died()
            self.output = output = _tail(folder / OUTPUT)
            if (folder / RESULT).exists():
                with safe_open(folder / RESULT, "pt") as file:
                    state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  it is no mapping
                    return state, float(file.metadata()["seconds"])
            if (folder / ERROR).exists():
                answer = json.loads((folder / ERROR).read_text())
                if answer["machine"]:
                    raise MachineFault(answer["error"])
                raise ChildFailed(answer["error"], answer["traceback"], output, answer["doubtful"])
            status, stopped = json.loads(reply)
            if stopped:
                raise ChildFailed(stopped, "", output)
            code = os.waitstatus_to_exitcode(status)
            how = _how_it_ended(code)
            if -code in ENDED_FROM_OUTSIDE:
                raise MachineFault(f"its process was {how}, and not by this program")
            if code == NOTHING_LEFT:
                raise MachineFault(f"its run could write nothing below {folder.parent}: the disk is full or broken")
            crashed, left = f"its process was {how}", f"it ended its process ({how}) instead of returning a network"
            raise ChildFailed(crashed if code < 0 else left, "", output, doubtful=code < 0)

    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        """End the server and its run, with all that it started."""
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _send(self, value: object) -> None:
        assert self.process.stdin
        try:
            pickle.dump(value, self.process.stdin, protocol=5)
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise self._died() from error

    def _died(self) -> MachineFault:
        """It runs none of the candidate's code, so the machine is at fault."""
        code = self.process.wait()  # it ends as the server did, when no process of theirs is left
        how = _how_it_ended(128 - code if code > 128 else code)
        return MachineFault(f"the process that starts its runs died ({how})")


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    return "killed by " + next((each.name for each in signal.Signals if each == -code), f"signal {-code}")


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - KEPT_OUTPUT))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


# --- The server's end ---------------------------------------------------------------------------------------------


def main() -> None:
    """The server's process: its standard input and output are the pipes to the actor."""
    pipes = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # nothing but replies goes to the actor
    try:
        serve(*pipes)
    except SystemExit as told:
        os._exit(int(told.code or 0))  # in order, torch would take a second


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Fork for each request until the actor is gone."""
    training, original, device = pickle.load(requests)
    set_up_torch()
    unlearner = Unlearner(training, torch.device(device), images_on=torch.device("cpu"))
    fresh_network(training, torch.device("cpu"))  # a user's network file is imported here, once for all forks
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
                    perform(unlearner, original, request)
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
            shutil.rmtree(folder, ignore_errors=True)  # the actor is gone, and does not do it


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
            signal.raise_signal(signal.SIGTERM)  # nothing is sent while a run goes on: the actor is gone
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
    """In the fork: nothing of the server's is left in reach, and this ends with it."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    for file in ours:
        os.close(file)
    os.setsid()
    killed_with(server)
    taken_first()


def perform(unlearner: Unlearner, original: bytes, request: Request) -> None:
    """In the fork: import the candidate from the sources that were sent, run it, leave a result or an error."""
    folder, algorithm = Path(request.folder), request.algorithm
    output = os.open(folder / OUTPUT, os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = (os.fdopen(fd, "w", buffering=1, closefd=False) for fd in (1, 2))
    sources = folder / SOURCES
    try:
        first, *others = algorithm.files
        for name in others:
            (sources / name).parent.mkdir(parents=True, exist_ok=True)
            (sources / name).write_bytes(algorithm.files[name])
        # The sources as they were when the command began come first: the user may go on editing.
        sys.path[:0] = [str(sources), algorithm.folder]
        module = import_file(Path(algorithm.folder) / first, algorithm.files[first])
        function = getattr(module, ENTRY)
        state, seconds = unlearner.unlearn(
            function,
            changed(function, algorithm.hyper_parameters),
            request.seeds,
            original,
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


def of_the_machine(error: BaseException) -> bool:
    """Whether memory ran out, or a disk is full or broken: ours, under what it prints and leaves, or another one."""
    return out_of_memory(error) or (isinstance(error, OSError) and error.errno in DISK_FAULTS)


def of_the_accelerator(error: BaseException) -> bool:
    """Whether a GPU reports an error: its own, as a lost device, or that of a kernel that it was given."""
    return isinstance(error, getattr(torch, "AcceleratorError", ())) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in OF_THE_ACCELERATOR)
    )


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, the host's or a GPU's: torch says so by several exceptions."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)
    )
