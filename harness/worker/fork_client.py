"""The worker's side of the fork server, which runs user code so that a crash or a hang fails only that run."""

import json
import math
import os
import pickle
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from forget512.harness.benchmark.benchmark import TrainingPart
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.errors import MachineFault
from forget512.harness.isolation.environment import environment, python
from forget512.harness.worker.seeds import Seeds
from forget512.harness.worker.unlearn import Unlearned

KEPT_OUTPUT = 4000  # bytes of a run's last output
# Signals by which the kernel's out-of-memory killer, Slurm and spot machines end processes.
ENDED_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
NOTHING_LEFT = os.EX_IOERR  # exit status of a run that cannot even write its error
RESULT, ERROR, OUTPUT = "result.safetensors", "error.json", "output.txt"


class ChildFailed(Exception):
    """Raised if a candidate fails: one line, its traceback, its last output.

    doubtful: a faulty machine could also be the cause.
    """

    def __init__(self, error: str, traceback: str, output: str, doubtful: bool = False):
        super().__init__(error)
        self.traceback, self.output, self.doubtful = traceback, output, doubtful


@dataclass(frozen=True)
class Request:
    """One run. original: the safetensors bytes of the model that it starts from."""

    algorithm: Algorithm
    seeds: Seeds
    original: bytes
    folder: str  # for the result
    timeout: float  # seconds
    memory: float  # bytes
    engine: str  # "auto" or "eager", for training steps


class ForkServer:
    """The worker's side of the fork server."""

    def __init__(self, training: TrainingPart, device: str, memory: float = math.inf):
        """memory: bytes that a run may use."""
        self.output = ""  # the end of what the last run printed
        self.memory = memory
        self.process = subprocess.Popen(
            python("forget512.harness.worker.guard", os.getpid()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            start_new_session=True,
        )
        self._send((training, device))

    def run(
        self, algorithm: Algorithm, seeds: Seeds, original: bytes, timeout: float | None = None, engine: str = "auto"
    ) -> Unlearned:
        """Execute a run.

        original: the safetensors bytes of the model that it starts from. timeout: seconds that the whole run may take.
        engine: "auto" or "eager", for training steps.

        Raises:
            ChildFailed: the candidate raised, returned no network, ended its process, or was stopped at a limit.
            MachineFault: memory ran out, a disk is full or broken, or a process was ended from outside.
        """
        with tempfile.TemporaryDirectory(prefix="forget512-") as name:
            folder = Path(name)
            limit = math.inf if timeout is None else timeout
            self._send(Request(algorithm, seeds, original, name, limit, self.memory, engine))
            assert self.process.stdout
            reply = self.process.stdout.readline()
            if not reply:
                raise self._died()
            self.output = output = _tail(folder / OUTPUT)
            if (folder / RESULT).exists():
                with safe_open(folder / RESULT, "pt") as file:
                    state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  it is not a mapping
                    known = file.metadata()
                    return Unlearned(state, float(known["seconds"]), known["engine"])
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
                raise MachineFault(f"its process was {how} from outside")
            if code == NOTHING_LEFT:
                raise MachineFault(f"its run could not write to {folder.parent}: the disk is full or broken")
            crashed, left = f"its process was {how}", f"it ended its process ({how}) instead of returning a network"
            raise ChildFailed(crashed if code < 0 else left, "", output, doubtful=code < 0)

    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        """End the server and its run, with all their processes."""
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
        """Raise the fault of a dead server: it runs no code of the candidate, so the machine is at fault."""
        code = self.process.wait()  # the guard ends with the status of the server
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
