"""A driver whose wall clock runs backwards."""

import itertools
import time

import pytest

from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.scheduling.compute import Compute
from forget512.harness.scheduling.events import EventLog
from forget512.harness.store.backends.folder import Folder
from forget512.harness.workflows.evaluation import Evaluation
from support.commands import contents


@pytest.mark.slow
def test_a_clock_that_is_set_back_changes_no_record_and_ends_nothing(ray_session, tmp_path, monkeypatch):
    # The time of day is replaced, in the driver alone: the machine's own may not be set here.
    benchmark = make_benchmark("digits", epochs=1)
    backwards = itertools.count(time.time(), -3600)
    for name in ("usual", "set back"):
        evaluation = Evaluation(benchmark, [], 3, Folder(tmp_path / name))
        log = EventLog(tmp_path / f"{name}.jsonl")
        if name == "set back":
            monkeypatch.setattr(time, "time", lambda: next(backwards))
        for event in evaluation.run(Compute("cpu", 2, 0.0), timeout=60.0):
            log.take(event)
        log.close("finished")
        assert evaluation.complete
    assert time.time() > time.time()
    assert contents(tmp_path / "set back") == contents(tmp_path / "usual")
