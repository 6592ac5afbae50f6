"""The commands as a user gives them: what they print, and with which status they end."""

import json
import random
import subprocess
import sys
import time
from collections import Counter

import psutil
import pytest

from support.commands import ROOT, command, contents, finished_records, rows, run_cli, start_cli

QUICK = ["--epochs", 1, "--set", "forget_remember.epochs=[1]", "--set", "forget_remember.draws=[2]"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["finetune", "--dataset", "digitz"], "Did you mean 'digits'?"),
        (["finetune", "--model", "resnet188"], "Did you mean 'resnet18'?"),
        (["finetun"], "Did you mean 'finetune'?"),
        (["finetune", "--precision", "float23"], "Did you mean 'float32'?"),
        (["finetune", "--device", "gpu"], "choose from auto, cpu, cuda"),
        (["finetune", "--set", "epoch=3"], "Did you mean 'epochs'?"),
        (["finetune", "--set", "lr"], "write name=value"),
        (["finetune", "--set", "epochs=1.5"], "is a float, but the default 2 is a int"),
        (["finetune", "--set", "neggrad.lr=1"], "no algorithm 'neggrad' in this command"),
        (["finetune", "--runs", 1], "at least 2 runs"),
        (["finetune", "--runs", "many"], "'many' is not a valid integer"),
        (["finetune", "--rnus", 5], "No such option '--rnus'"),
        (["finetune", "--epochs", 0], "at least 1 is needed"),
        (["finetune", "--gpus-per-run", 0.3], "not 1/k"),
        (["finetune", "--gpus-per-run", 0.3], "Use 0.25"),
        (["finetune", "--actors", 0], "at least 1"),
        (["finetune", "--forget-class", 10], "classes 0 … 9"),
        (["finetune", "--forget-fraction", 1], "one retained"),
        (["finetune", "--forget-class", 1, "--forget-fraction", 0.1], "give one of them"),
        (["finetune", "--dataset", "none.npz"], "does not exist"),
        (["finetune", "--dataset", "cifar10-mini", "--data-dir", "nowhere"], "could not be downloaded"),
        (["none.py"], "does not exist"),
        (["finetune", "--store", "/proc/store"], "cannot be written"),
        (["finetune", "finetune"], "given twice"),
        (["retrain"], "not a candidate"),
        ([], "Missing argument"),
    ],
)
def test_a_mistake_in_evaluate_is_one_line(refused, arguments, said):
    assert said in refused("evaluate", *arguments)


def test_more_gpus_than_there_are_is_one_line(refused):
    import torch

    line = refused("evaluate", "finetune", "--device", "cuda", "--actors", 1000)
    assert ("no GPU" if not torch.cuda.is_available() else "this machine has") in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 1 2 1437", "1437 is out of range, training images are 0 … 1436"),
        ("5 5", "5 occurs more than once"),
        ("", "is empty"),
        ("one", "cannot be read"),
        (" ".join(map(str, range(1437))), "nothing would be retained"),
    ],
)
def test_bad_forget_indices_are_one_line(refused, tmp_path, text, said):
    file = tmp_path / "forget.txt"
    file.write_text(text)
    assert said in refused("evaluate", "finetune", "--forget-indices", file)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def unlearn(net): ...", "has no function `unlearning(net, retain, forget, validation)`; it defines unlearn"),
        ("import no_such_module", "No module named 'no_such_module' (idea.py, line 1)"),
        ("\n\ndef unlearning(:", "SyntaxError: invalid syntax (idea.py, line 3)"),
        ("def unlearning(net): ...", "cannot be called with (net, retain, forget, validation)"),
    ],
)
def test_a_bad_file_is_one_line_with_its_own_error(refused, tmp_path, code, said):
    (tmp_path / "idea.py").write_text(code)
    assert said in refused("evaluate", tmp_path / "idea.py")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """One evaluation from start to end: its store and its answer."""
    store = tmp_path_factory.mktemp("uninterrupted")
    process = run_cli("evaluate", "finetune", "forget_remember", *QUICK, "--runs", 8, "--store", store, "--json")
    assert process.returncode == 0, process.stderr
    return store, process


def test_evaluate_prints_one_table_with_scores_ceiling_and_costs(uninterrupted):
    store, _ = uninterrupted
    process = run_cli("evaluate", "finetune", "forget_remember", *QUICK, "--runs", 8, "--store", store)
    assert process.returncode == 0
    for word in ("(the reference)", "finetune", "forget_remember", "95 % interval", "of ceiling", "of 30 epochs"):
        assert word in process.stdout
    assert "cannot be interpreted" in process.stdout  # 8 runs
    assert max(map(len, process.stdout.splitlines())) <= 120


def test_looking_at_a_store_waits_for_no_heavy_import(uninterrupted):
    store, _ = uninterrupted
    look = (
        "import sys; from forget512.harness.cli.main import cli; cli(sys.argv[1:], standalone_mode=False); "
        "print({*sys.modules} & {'torch', 'ray', 'numba'})"
    )
    process = subprocess.run(
        [sys.executable, "-c", look, "status", "--store", store], cwd=ROOT, capture_output=True, text=True
    )
    assert process.stdout.endswith("set()\n"), process.stdout + process.stderr


def test_plan_status_and_bank_folders(uninterrupted, refused, tmp_path, monkeypatch, capsys):
    store, _ = uninterrupted
    status, out, _ = command(monkeypatch, capsys, "plan", "finetune", *QUICK[:2], "--runs", 16, "--store", store)
    assert status == 0 and "Total: about" in out
    status, out, _ = command(monkeypatch, capsys, "plan", "finetune", "--runs", 16, "--store", tmp_path)
    assert status == 0 and "no timed run" in out
    status, out, _ = command(monkeypatch, capsys, "status", "--runs", 9, "--store", store)
    assert status == 0 and out.count("8 of 9") == 3 and "MB in records" in out
    banks = {path.parent.name.split("-")[0]: path.parent for path in finished_records(store)}
    status, out, _ = command(
        monkeypatch, capsys, "score", "--retrained", banks["retrain"], "--unlearned", banks["finetune"], "--json"
    )
    assert json.loads(out)["score"] == rows(uninterrupted[1])["finetune"]["score"]["score"]


def test_a_bank_of_another_benchmark_is_refused_naming_what_differs(uninterrupted, refused, tmp_path):
    store, _ = uninterrupted
    process = run_cli("retrain", "--epochs", 2, "--runs", 2, "--store", store)
    assert process.returncode == 0, process.stderr
    banks = Counter(path.parent for path in finished_records(store) if "retrain" in path.parent.name)
    (long, _), (short, _) = banks.most_common()
    line = refused("score", "--retrained", long, "--unlearned", short)
    assert "recipe.epochs" in line and "two benchmarks" in line


def test_a_failing_candidate_ends_with_status_1_and_the_rest_is_scored(uninterrupted, tmp_path):
    store, _ = uninterrupted
    failures = {
        "raises": "print('I got this far')\n    raise RuntimeError('my mistake')",
        "nothing": "return {'a': 1}",
        "other": "import torch\n    return torch.nn.Linear(2, 2)",
        "nan": "print('before NaN')\n    for p in net.parameters(): p.data.fill_(float('nan'))",
    }
    for name, body in failures.items():
        (tmp_path / f"{name}.py").write_text(f"def unlearning(net, retain, forget, validation):\n    {body}\n")
    files = [tmp_path / f"{name}.py" for name in failures]
    process = run_cli("evaluate", "finetune", *files, *QUICK[:2], "--runs", 8, "--store", store)
    assert process.returncode == 1 and "Traceback" not in process.stderr
    for text in ("RuntimeError: my mistake (raises.py, line 3)", "I got this far", "it returned dict, not a network",
                 "lacks 'conv1.weight'", "not finite", "before NaN", "0 of 8"):  # fmt: skip
        assert text in process.stdout, text
    again = run_cli("evaluate", "finetune", *files, *QUICK[:2], "--runs", 8, "--store", store, "--json")
    assert again.returncode == 1
    assert rows(again)["finetune"]["score"]["score"] > 0
    assert rows(again)["raises"]["score"] is None and "my mistake" in rows(again)["raises"]["failure"]["error"]


def kill_driver_at_random_moments(store, times, seed):
    """Start the evaluation, kill -9 the driver, again and again; then let it finish."""
    arguments = ("evaluate", "finetune", "forget_remember", *QUICK, "--runs", 8, "--store", store, "--json")
    chance = random.Random(seed)
    kept = 0
    for _ in range(times):
        process = start_cli(*arguments)
        children = []
        wanted = kept + chance.randint(1, 6)
        while process.poll() is None and len(finished_records(store)) < wanted:
            children = psutil.Process(process.pid).children(recursive=True)
            time.sleep(0.05)
        time.sleep(chance.random() / 2)
        process.kill()
        process.communicate()
        kept_now = len(finished_records(store))
        assert kept_now >= kept  # what was finished stays
        kept = kept_now
        workers = [child for child in children if not _is_agent(child)]  # Ray's agents notice within two minutes
        _, alive = psutil.wait_procs(workers, timeout=20)
        assert not [worker for worker in alive if not _is_agent(worker)]
    return run_cli(*arguments)


def _is_agent(process):
    try:
        return "Agent" in " ".join(process.cmdline())
    except psutil.Error:
        return False  # gone already


def compare(uninterrupted, store, process):
    assert process.returncode == 0, process.stderr
    assert contents(store).items() <= contents(uninterrupted[0]).items()
    expected, found = rows(uninterrupted[1]), rows(process)
    for name in ("finetune", "forget_remember"):
        assert found[name]["score"] == expected[name]["score"]  # to the last bit


@pytest.mark.slow
def test_killing_the_driver_loses_nothing_finished_and_changes_no_bit(uninterrupted, tmp_path):
    compare(uninterrupted, tmp_path, kill_driver_at_random_moments(tmp_path, times=1, seed=1))


@pytest.mark.slow
def test_killing_the_driver_five_times(uninterrupted, tmp_path):
    compare(uninterrupted, tmp_path, kill_driver_at_random_moments(tmp_path, times=5, seed=2))


@pytest.mark.slow
def test_two_drivers_on_one_store_keep_one_record_a_seed(uninterrupted, tmp_path):
    arguments = ("evaluate", "finetune", "forget_remember", *QUICK, "--runs", 8, "--store", tmp_path, "--json")
    drivers = [start_cli(*arguments) for _ in range(2)]
    for driver in drivers:
        _, err = driver.communicate(timeout=300)
        assert driver.returncode == 0, err
    assert len(finished_records(tmp_path)) == 24
    compare(uninterrupted, tmp_path, run_cli(*arguments))
