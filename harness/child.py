"""A user's code runs here: in a fork of a fork server, so that whatever it does costs its run alone.

The server is a process of its own (`python -m harness.child`) with torch imported, the training part in memory, and
neither a CUDA context nor a thread; it forks for each run. Requests go to it as pickles of ours; what comes back is a
safetensors file or a JSON error, never a pickled object. The last of its
output is kept with the run's record.
"""

import contextlib
import ctypes
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
import torch._dynamo  # optimizers import it at their first step: a second that each fork would pay
import torchvision  # noqa: F401  many candidates import it; here it is imported once
from safetensors import safe_open
from safetensors.torch import save_file

from harness.benchmark import TrainingPart
from harness.candidate_file import ENTRY, changed, describe_error, environment, import_file
from harness.candidates import Algorithm
from harness.unlearn import Seeds, State, Unlearner, fresh_network, set_up_torch

KEPT_OUTPUT = 4000  # bytes of a run's last output
RESULT, ERROR, OUTPUT, SOURCES = "result.safetensors", "error.json", "output.txt", "sources"


class ChildFailed(Exception):
    """A candidate's own failure: one line, its traceback, its last output."""

    def __init__(self, error: str, traceback: str, output: str):
        super().__init__(error)
        self.traceback, self.output = traceback, output


@dataclass(frozen=True)
class Request:
    algorithm: Algorithm
    seeds: Seeds
    folder: str  # for the result


class ForkServer:
    """The actor's end."""

    def __init__(self, training: TrainingPart, original: bytes, device: str):
        self.output = ""  # the last of what the last run printed
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            start_new_session=True,
        )
        self._send((training, original, device))

    def run(self, algorithm: Algorithm, seeds: Seeds) -> tuple[State, float]:
        """The unlearned network's state and the seconds it took.

        Raises:
            ChildFailed: the candidate raised, returned no network, or ended its process.
        """
        with tempfile.TemporaryDirectory(prefix="forget512-") as name:
            folder = Path(name)
            self._send(Request(algorithm, seeds, name))
            assert self.process.stdout
            reply = self.process.stdout.readline()
            if not reply:
                self.close()  # so that the next run starts a new one
                raise ChildFailed("the process that starts its runs died", "", _tail(folder / OUTPUT))
            self.output = output = _tail(folder / OUTPUT)
            if (folder / RESULT).exists():
                with safe_open(folder / RESULT, "pt") as file:
                    state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  it is no mapping
                    return state, float(file.metadata()["seconds"])
            if (folder / ERROR).exists():
                answer = json.loads((folder / ERROR).read_text())
                raise ChildFailed(answer["error"], answer["traceback"], output)
            raise ChildFailed(_how_it_ended(json.loads(reply)), "", output)

    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    def _send(self, value: object) -> None:
        assert self.process.stdin
        try:
            pickle.dump(value, self.process.stdin, protocol=5)
            self.process.stdin.flush()
        except BrokenPipeError as error:
            self.close()
            raise ChildFailed("the process that starts its runs died", "", "") from error


def _how_it_ended(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"its process was killed by {signal.Signals(-code).name}"
    return f"it ended its process (exit status {code}) instead of returning a network"


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - KEPT_OUTPUT))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


# --- The server's end ---------------------------------------------------------------------------------------------


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Fork for each request until the actor is gone."""
    training, original, device = pickle.load(requests)
    set_up_torch()
    unlearner = Unlearner(training, torch.device(device), images_on=torch.device("cpu"))
    fresh_network(training, torch.device("cpu"))  # a user's network file is imported here, once for all forks
    while True:
        try:
            request: Request = pickle.load(requests)
        except EOFError:
            return
        child = os.fork()
        if child == 0:
            try:
                replies.close()
                requests.close()
                perform(unlearner, original, request)
            finally:
                os._exit(0)  # threads and exit handlers that the candidate left do not count
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # processes that it left behind
        replies.write(f"{status}\n".encode())
        replies.flush()


def perform(unlearner: Unlearner, original: bytes, request: Request) -> None:
    """In the fork: import the candidate from the sources that were sent, run it, leave a result or an error."""
    os.setsid()
    die_with_parent()
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
        save_file(state, folder / f"{RESULT}.part", metadata={"seconds": repr(seconds)})
        os.rename(folder / f"{RESULT}.part", folder / RESULT)
    except BaseException as error:  # SystemExit and KeyboardInterrupt are the candidate's failure as well
        text = "".join(traceback.format_exception(error)).replace(f"{sources}{os.sep}", "")
        answer = {"error": describe_error(error, algorithm.folder, str(sources)), "traceback": text}
        (folder / ERROR).write_text(json.dumps(answer))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def die_with_parent() -> None:
    """Be killed when the process that started this one ends (Linux; elsewhere the closed pipe must do)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    die_with_parent()
    pipes = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # nothing but replies goes to the actor
    from harness.child import serve as serve_as_module  # so that pickles and this file name the same classes

    serve_as_module(*pipes)
