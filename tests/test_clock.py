"""A driver whose wall clock runs backwards."""

import itertools
import time

import pytest
from commands import contents

from harness.benchmark import make_benchmark
from harness.cluster import Compute
from harness.evaluation import Evaluation
from harness.event_log import EventLog
from harness.store import Store


@pytest.mark.slow
def test_a_clock_that_is_set_back_changes_no_record_and_ends_nothing(ray_session, tmp_path, monkeypatch):
    # The time of day is replaced, in the driver alone: the machine's own may not be set here.
    benchmark = make_benchmark("digits", epochs=1)
    backwards = itertools.count(time.time(), -3600)
    for name in ("usual", "set back"):
        evaluation = Evaluation(benchmark, [], 3, Store(tmp_path / name))
        log = EventLog(tmp_path / f"{name}.jsonl", evaluation)
        if name == "set back":
            monkeypatch.setattr(time, "time", lambda: next(backwards))
        for event in evaluation.run(Compute("cpu", 2, 0.0), timeout=60.0):
            log.take(event)
        log.close("finished")
        assert evaluation.complete
    assert time.time() > time.time()
    assert contents(tmp_path / "set back") == contents(tmp_path / "usual")
