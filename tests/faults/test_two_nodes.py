"""A cluster of two nodes, each a real Ray node as a process, and what may happen to them."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from support.commands import ROOT, contents, finished_records, rows, run_cli, start_cli

pytestmark = pytest.mark.slow

EVALUATION = ["evaluate", "finetune", "--epochs", 1, "--json"]


@pytest.fixture
def cluster():
    """A head that does no runs, to which nodes are added."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield made
    ray.shutdown()
    made.shutdown()


def events(log: Path) -> list[dict]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def wait_for(condition, process, seconds=120.0):
    """Until the condition holds; the command must not end before it."""
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same evaluation on this machine alone: its store and its output."""
    store = tmp_path_factory.mktemp("alone")
    done = run_cli(*EVALUATION, "--runs", 24, "--store", store)
    assert done.returncode == 0, done.stderr
    return store, done


def test_a_node_is_killed_and_another_joins_and_nothing_is_lost_or_done_twice(cluster, alone, tmp_path):
    victim = cluster.add_node(num_cpus=1)
    log, store = tmp_path / "log.jsonl", tmp_path / "store"
    options = ["--runs", 24, "--store", store, "--log-json", log, "--address", cluster.address]
    process = start_cli(*EVALUATION, *options)
    wait_for(lambda: len(finished_records(store)) >= 6, process)
    cluster.add_node(num_cpus=1)
    cluster.remove_node(victim, allow_graceful=False)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    kinds = [event["event"] for event in events(log)]
    assert kinds.count("joined") == 2
    assert {"left", "again"} & set(kinds)  # an actor of a node that died is away before the node is known to be dead
    finished = [(e["algorithm"], e["seed"]) for e in events(log) if e["event"] == "finished"]
    assert len(finished) == len(set(finished)) == 48
    assert contents(store) == contents(alone[0])
    assert [row["score"] for row in json.loads(out)["algorithms"]] == [row["score"] for row in rows(alone[1]).values()]


def test_a_cluster_that_loses_its_head_ends_the_command_and_the_same_command_goes_on(cluster, alone, tmp_path):
    cluster.add_node(num_cpus=1)
    store = tmp_path / "store"
    process = start_cli(*EVALUATION, "--runs", 24, "--store", store, "--address", cluster.address)
    wait_for(lambda: len(finished_records(store)) >= 6, process)
    for head in psutil.process_iter(["name", "cmdline"]):
        if "gcs_server" in (head.info["name"] or "") and cluster.address.split(":")[1] in str(head.info["cmdline"]):
            head.kill()
    cluster.remove_node(cluster.head_node, allow_graceful=False)
    process.communicate(timeout=200)
    assert process.returncode != 0
    kept = {path: path.read_bytes() for path in finished_records(store)}
    assert len(kept) >= 6
    again = run_cli(*EVALUATION, "--runs", 24, "--store", store)
    assert again.returncode == 0, again.stderr
    assert all(path.read_bytes() == data for path, data in kept.items())
    assert contents(store) == contents(alone[0])
    assert {name: row["score"] for name, row in rows(again).items()} == {
        name: row["score"] for name, row in rows(alone[1]).items()
    }


def test_a_driver_killed_dead_loses_nothing_and_the_same_command_goes_on(cluster, alone, tmp_path):
    cluster.add_node(num_cpus=2)
    store = tmp_path / "store"
    options = ["--runs", 24, "--store", store, "--address", cluster.address]
    process = start_cli(*EVALUATION, *options)
    wait_for(lambda: len(finished_records(store)) >= 6, process)
    process.kill()
    process.wait()
    again = run_cli(*EVALUATION, *options)
    assert again.returncode == 0, again.stderr
    assert contents(store) == contents(alone[0])
    assert {name: row["score"] for name, row in rows(again).items()} == {
        name: row["score"] for name, row in rows(alone[1]).items()
    }


def test_a_node_with_another_version_is_refused_by_name_and_the_others_do_the_work(cluster, tmp_path):
    other = tmp_path / "other" / "numpy-1.99.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.99.0\n")
    head = cluster.address
    start = [Path(sys.executable).parent / "ray", "start", "--address", head, "--num-cpus", "1", "--block"]
    odd = subprocess.Popen(
        start, env={**os.environ, "PYTHONPATH": str(other.parent)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    log = tmp_path / "log.jsonl"
    command = ["retrain", "--epochs", 1, "--runs", 4, "--store", tmp_path / "store", "--log-json", log]
    try:
        ray.init(address=head, log_to_driver=False, configure_logging=False)
        while sum(node["Alive"] for node in ray.nodes()) < 2:
            assert odd.poll() is None
            time.sleep(0.2)
        ray.shutdown()
        refused = run_cli(*command, "--address", head)
        assert refused.returncode == 2 and refused.stderr.strip().count("\n") <= 1
        assert "has numpy 1.99.0 (here " in refused.stderr and "Install the same ones" in refused.stderr
        cluster.add_node(num_cpus=1, wait=False)
        time.sleep(5)
        done = run_cli(*command, "--address", head)
        assert done.returncode == 0, done.stderr
        assert "not used: node " in done.stderr and "numpy 1.99.0" in done.stderr
    finally:
        odd.terminate()
        odd.wait(30)


def test_the_code_of_this_checkout_reaches_nodes_that_lack_it(cluster, tmp_path):
    # The command is given from a copy of the project that has an algorithm which no installation has.
    copy = tmp_path / "copy"
    for name in ("forget512", "harness", "algorithms", "scoring"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "run_eval.py", copy)
    text = (copy / "algorithms" / "baselines" / "finetune.py").read_text()
    assert '"""' in text
    (copy / "algorithms" / "baselines" / "finetune.py").write_text(text + "\nHERE = 'only in the copy'\n")
    subprocess.run([sys.executable, "-m", "forget512.algorithms.record"], cwd=copy, check=True, capture_output=True)
    idea = tmp_path / "idea.py"
    idea.write_text(
        "from forget512.algorithms.baselines.finetune import HERE\n"
        "from helper import SAID\n"
        "def unlearning(net, retain, forget, validation):\n"
        "    assert HERE == 'only in the copy' and SAID == 'beside it'\n"
    )
    (tmp_path / "helper.py").write_text("SAID = 'beside it'\n")
    cluster.add_node(num_cpus=1)
    options = ["--runs", 2, "--epochs", 1, "--json", "--store", tmp_path / "store", "--address", cluster.address]
    done = subprocess.run(
        [sys.executable, copy / "run_eval.py", "evaluate", idea, *map(str, options)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=200,
        env={**os.environ, "PYTHONPATH": str(copy)},
    )
    assert done.returncode == 0, done.stderr
    assert rows(done)["idea"]["runs"] == 2
