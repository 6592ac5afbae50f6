"""Ray's metrics of an evaluation, read as Prometheus reads them."""

import time
import urllib.request

import pytest
import ray

from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.scheduling.compute import Compute
from forget512.harness.scheduling.events import Event
from forget512.harness.scheduling.metrics import Metrics
from forget512.harness.store.backends.folder import Folder
from forget512.harness.workflows.evaluation import Evaluation


@pytest.mark.slow
def test_runs_seconds_and_what_waits_stand_at_the_nodes_port(ray_session, tmp_path):
    evaluation = Evaluation(make_benchmark("digits", epochs=1), [], 4, Folder(tmp_path / "store"))
    metrics = Metrics(evaluation.benchmark.fingerprint, evaluation)
    for event in evaluation.run(Compute("cpu", 2, 0.0)):
        metrics.take(event)
    address = f"http://{ray.nodes()[0]['NodeManagerAddress']}:{ray.nodes()[0]['MetricsExportPort']}/metrics"
    until = time.monotonic() + 60
    lines: list[str] = []
    while not any(line.startswith("ray_forget512_runs_total") and 'status="finished"' in line for line in lines):
        assert time.monotonic() < until, lines[:5]
        time.sleep(1)
        lines = urllib.request.urlopen(address, timeout=10).read().decode().splitlines()
    values = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line.startswith("ray_forget512")
    }
    [runs] = [value for name, value in values.items() if name.startswith("ray_forget512_runs_total")]
    assert runs == 4
    names = {name.partition("{")[0] for name in values}
    assert {"ray_forget512_run_seconds_sum", "ray_forget512_waiting", "ray_forget512_actors"} <= names


def test_a_name_beyond_ascii_is_counted(ray_session, tmp_path):
    """Ray takes ASCII tags alone, and a user's file may have any name."""
    evaluation = Evaluation(make_benchmark("digits", epochs=1), [], 4, Folder(tmp_path / "store"))
    Metrics(evaluation.benchmark.fingerprint, evaluation).take(Event("finished", "idée × 2", 0, "", "core 0", 1.0))
