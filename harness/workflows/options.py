"""The options of runs and of their scores, each with its help text."""

from dataclasses import dataclass, field
from pathlib import Path

from forget512.harness.errors import UserError, one_of


@dataclass(frozen=True)
class RunOptions:
    """Which runs are executed, from which original model, and where they are saved."""

    runs: int = field(default=512, metadata={"help": "N: number of runs of the reference and of each algorithm"})
    store: str | Path = field(
        default="store", metadata={"type": str, "help": "store of all finished runs: a folder, s3://… or gs://…"}
    )
    original: str | Path | None = field(
        default=None,
        metadata={
            "help": "file of the original model, instead of one that is trained: safetensors, or a state_dict by "
            "torch.save"
        },
    )
    retry_failed: bool = field(default=False, metadata={"help": "rerun the failed seeds of candidates"})
    run_timeout: float | None = field(
        default=None,
        metadata={
            "metavar": "SECONDS",
            "help": "longest time that a candidate's run may take [default: 10 times the median of its runs, or of a "
            "retraining until one has finished; at least 60]",
        },
    )
    log_json: str | Path | None = field(
        default=None, metadata={"metavar": "FILE", "help": "file to which events are appended, one JSON object a line"}
    )

    def __post_init__(self) -> None:
        """Raises UserError: a run_timeout that is not positive."""
        if self.run_timeout is not None and not self.run_timeout > 0:
            raise UserError(f"--run-timeout {self.run_timeout:g}: give a number of seconds above 0.")


@dataclass(frozen=True)
class ScoreOptions:
    """How finished runs are scored, and whether scores decide that there are enough."""

    mode: str = field(
        default="released", metadata={"help": "definition of the score: released, spec, exact or certified"}
    )
    partial: bool = field(default=False, metadata={"help": "score algorithms with fewer than N runs, too"})
    stop_when_decided: bool = field(
        default=False,
        metadata={"help": "do 32, 64, 128, … runs of each, and stop when every pair of algorithms is decided or tied"},
    )
    width: float = field(
        default=0.1,
        metadata={
            "help": "with --stop-when-decided: algorithms are tied whose scores differ by less than this share of the "
            "ceiling"
        },
    )

    def __post_init__(self) -> None:
        """Raises UserError: an unknown mode."""
        from forget512.scoring import MODES  # --help does without

        one_of("--mode", self.mode, MODES)
