"""An evaluation whose store is gone for a while, on real Ray."""

import threading
import time

import pytest

from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.errors import UserError
from forget512.harness.scheduling.compute import Compute
from forget512.harness.store.backends.folder import Folder
from forget512.harness.workflows import filling as doing
from forget512.harness.workflows.evaluation import Evaluation

TWO = Compute("cpu", 2, 0.0)


@pytest.fixture
def evaluation(ray_session, tmp_path):
    return Evaluation(make_benchmark("digits", epochs=1), [], 8, Folder(tmp_path / "store"))


def test_it_waits_says_so_and_goes_on_when_the_store_is_back(evaluation, tmp_path, monkeypatch):
    monkeypatch.setattr(doing, "STORE_PAUSE", 0.2)
    events = []
    for event in evaluation.run(TWO):
        events.append(event)
        if [e.kind for e in events].count("finished") == 2 and event.kind == "finished":
            (tmp_path / "store").rename(tmp_path / "elsewhere")
            threading.Timer(1.5, (tmp_path / "elsewhere").rename, [tmp_path / "store"]).start()
    [waiting] = [event for event in events if event.kind == "waiting"]
    assert "the store cannot be written" in waiting.text
    assert evaluation.complete and not [event for event in events if event.kind == "lost"]


@pytest.mark.slow
def test_after_its_patience_it_stops_with_one_sentence_and_the_rest_is_done_later(evaluation, tmp_path, monkeypatch):
    monkeypatch.setattr(doing, "STORE_PAUSE", 0.1)
    monkeypatch.setattr(doing, "STORE_PATIENCE", 0.5)
    began, done = time.monotonic(), 0
    with pytest.raises(UserError, match="Cannot write to --store"):
        for event in evaluation.run(TWO):
            done += event.kind == "finished"
            if event.kind == "finished" and done == 2:
                (tmp_path / "store").rename(tmp_path / "elsewhere")
    assert time.monotonic() - began < 120
    (tmp_path / "elsewhere").rename(tmp_path / "store")
    again = Evaluation(evaluation.benchmark, [], 8, Folder(tmp_path / "store"))
    assert len(again.reference.seeds(8)) == 2 and not again.damaged
    list(again.run(TWO))
    assert again.complete
