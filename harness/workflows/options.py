"""The options of runs and of scores with their help texts."""

from dataclasses import dataclass
from pathlib import Path

from forget512.harness.benchmark.options import option
from forget512.harness.errors import UserError, one_of


@dataclass(frozen=True)
class RunOptions:
    """Options that select the runs, their original model, and the store that they are saved in."""

    runs: int = option(512, "number of runs N, of the reference and of each algorithm")
    store: str | Path = option("store", "store of all finished runs: a folder, s3://… or gs://…", type=str)
    original: str | Path | None = option(
        None, "file of the original model, instead of training one: safetensors, or a state_dict saved by torch.save"
    )
    retry_failed: bool = option(False, "rerun the failed seeds of candidates")
    run_timeout: float | None = option(
        None,
        "time limit of a candidate's run [default: 10 times the median of its runs, or of a "
        "retraining until one has finished; at least 60]",
        metavar="SECONDS",
    )
    log_json: str | Path | None = option(
        None, "file that events are appended to, one JSON object per line", metavar="FILE"
    )

    def __post_init__(self) -> None:
        """Raises UserError: a run_timeout that is not positive."""
        if self.run_timeout is not None and not self.run_timeout > 0:
            raise UserError(f"--run-timeout {self.run_timeout:g}: give a number of seconds above 0.")


@dataclass(frozen=True)
class ScoreOptions:
    """Options of scoring, and of stopping once the scores are decided."""

    mode: str = option("released", "definition of the score: released, spec, exact or certified")
    partial: bool = option(False, "also score algorithms with fewer than N runs")
    stop_when_decided: bool = option(
        False, "execute 32, 64, 128, … runs of each, and stop when every pair of algorithms is decided or tied"
    )
    width: float = option(
        0.1,
        "with --stop-when-decided: algorithms are tied if their scores differ by less than this share of the ceiling",
    )

    def __post_init__(self) -> None:
        """Raises UserError: an unknown mode."""
        from forget512.scoring import MODES  # --help does not need it

        one_of("--mode", self.mode, MODES)
