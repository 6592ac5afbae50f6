"""Executes units of work in a worker: unlearn, then examine; only a state_dict passes from one to the other."""

import socket
import time
import traceback
from dataclasses import dataclass, replace

import torch
import torch._dynamo  # optimizers import it at their first step, which would count in a run's time
from safetensors.torch import load, save

from forget512.harness.benchmark.benchmark import ExaminationPart, TrainingPart
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.user_file import describe_error
from forget512.harness.errors import Doubtful, MachineFault
from forget512.harness.isolation.process_tree import machine_memory
from forget512.harness.store.record import Provenance, RunRecord, failed
from forget512.harness.store.runs import EAGER
from forget512.harness.worker.examine import Examiner, NotExaminable, NotFinite
from forget512.harness.worker.faults import of_the_accelerator, out_of_memory
from forget512.harness.worker.fork_client import ChildFailed, ForkServer
from forget512.harness.worker.seeds import Seeds
from forget512.harness.worker.unlearn import NotANetwork, Unlearned, Unlearner, set_up_torch

MEMORY_FOR_RUNS = 0.9  # of the machine's, for the runs of users' code of all workers together
TIMED = 3  # runs of a bank that are also executed in plain PyTorch, for their seconds: costs are compared by these


@dataclass(frozen=True)
class TrainOriginal:
    """Train an original model; returns safetensors bytes."""

    algorithm: Algorithm
    seeds: Seeds
    kind = name = "original"
    seed = original = None

    def perform(self, runner: "Runner", original: bytes | None, limit: float | None) -> bytes:
        algorithm = self.algorithm
        return save(runner.unlearner.train_original(algorithm.function, algorithm.hyper_parameters, self.seeds))


@dataclass(frozen=True)
class ExamineOriginal:
    """Examine an original model; returns an encoded record. original: its SHA-256."""

    original: str
    kind = name = "examination of the original"
    seed = None

    def perform(self, runner: "Runner", original: bytes | None, limit: float | None) -> bytes:
        assert original is not None, "it is saved before it is examined"
        record = RunRecord(self.original, 0, 1, "finished", runner.provenance, seconds=0.0)
        return runner.examiner.examine(load(original), record).encode()


@dataclass(frozen=True)
class RunSeed:
    """Run one seed of an algorithm; returns the encoded record of the attempt, finished or failed.

    original: the SHA-256 of the model that it starts from; None for `retrain`. A run is in doubt if it crashed, a GPU
    reported an error, or its logits are not finite.
    """

    algorithm: Algorithm
    seeds: Seeds  # of (bank key, seed)
    attempt: int = 1
    original: str | None = None

    @property
    def kind(self) -> str:
        """The bank's key, since runs of a bank take about the same time."""
        return self.seeds.key

    @property
    def name(self) -> str:
        return self.algorithm.name

    @property
    def seed(self) -> int:
        return self.seeds.seed

    def perform(self, runner: "Runner", original: bytes | None, limit: float | None) -> bytes:
        return runner.run(self, original, limit).encode()


class Runner:
    """The state of a worker: the two parts of the data, its device, and the fork server for users' code.

    share: of the device, 1 where the worker has it alone. workers: on this machine, which share its memory.
    """

    def __init__(
        self,
        training: TrainingPart,
        examination: ExaminationPart,
        device: str,
        share: float,
        workers: int = 1,
        engine: str = "auto",
    ):
        set_up_torch()
        self.device = torch.device(device)
        self.unlearner = Unlearner(training, self.device, images_on=self.device, engine=engine)
        self.examiner = Examiner(training, examination, self.unlearner.images, self.device)
        self.unlearner.warm_up()
        self.fork_server: ForkServer | None = None
        self.memory = MEMORY_FOR_RUNS * machine_memory() / workers  # bytes that a candidate's run may use
        name = torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu"
        self.provenance = Provenance(torch.__version__, torch.version.cuda, name, share, EAGER, socket.gethostname())

    def run(self, work: RunSeed, original: bytes | None, limit: float | None = None) -> RunRecord:
        """Unlearn and examine. A failure of the algorithm gives a record; a failure of the machine raises.

        limit: seconds that a candidate's run may take.

        Raises:
            Doubtful: a crash, a GPU's error, logits that are not finite; with the record of that failure.
            MachineFault, OSError, and torch's exceptions for memory and GPUs: the machine's fault.
        """
        record = RunRecord(work.seeds.key, work.seeds.seed, work.attempt, "finished", self.provenance, seconds=0.0)
        start, doubtful = time.perf_counter(), False
        try:
            found = self._unlearn(work, original, limit)
            provenance = replace(self.provenance, engine=found.engine)
            record = replace(record, seconds=found.seconds, output=self._output(work), provenance=provenance)
            finished = self.examiner.examine(found.state, record)
            return replace(finished, eager_seconds=self._eager_seconds(work, original, limit, found.engine))
        except ChildFailed as error:
            reason, trace, output = str(error), error.traceback, error.output
            doubtful = error.doubtful
        except (NotExaminable, NotANetwork) as error:
            reason, trace, output = str(error), "", self._output(work)
            doubtful = isinstance(error, NotFinite)
        except (MachineFault, OSError):
            raise  # the machine's fault: rerun, elsewhere if possible
        except Exception as error:  # a built-in method raises it if it cannot work on these data
            if out_of_memory(error) or of_the_accelerator(error):
                raise
            reason, trace, output = describe_error(error), traceback.format_exc(), ""
        record = failed(replace(record, seconds=time.perf_counter() - start), reason, trace, output)
        if doubtful:
            raise Doubtful(record.encode(), reason)
        return record

    def _output(self, work: RunSeed) -> str:
        """Return the end of a candidate's output in the run that has just ended."""
        return self.fork_server.output if work.algorithm.files and self.fork_server else ""

    def _eager_seconds(self, work: RunSeed, original: bytes | None, limit: float | None, engine: str) -> float:
        """Execute one of a bank's first runs in plain PyTorch, for its seconds alone; 0 if that is not needed."""
        if work.seed >= TIMED or engine == EAGER or self.provenance.share < 1:
            return 0.0
        try:
            return self._unlearn(work, original, limit, EAGER).seconds
        except (ChildFailed, NotANetwork, MachineFault, OSError):
            return 0.0  # the run itself has finished, and it is what counts

    def _unlearn(
        self, work: RunSeed, original: bytes | None, limit: float | None, engine: str | None = None
    ) -> Unlearned:
        algorithm = work.algorithm
        if not algorithm.files:
            start = None if algorithm.from_scratch else original
            return self.unlearner.unlearn(
                algorithm.function, algorithm.hyper_parameters, work.seeds, start, engine=engine
            )
        assert original is not None, "a candidate starts from the original model"
        if self.fork_server is None or not self.fork_server.alive():
            self.fork_server = ForkServer(self.unlearner.training, str(self.device), self.memory)
        return self.fork_server.run(algorithm, work.seeds, original, limit, engine or self.unlearner.engine)
