"""Users' code in a fork of the fork server: what it is given, and that whatever it does costs its run alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from safetensors.torch import load

from forget512.harness.candidates.files import load_candidates
from forget512.harness.candidates.settings import with_settings
from forget512.harness.worker.examine import load_strictly
from forget512.harness.worker.fork_client import KEPT_OUTPUT, ChildFailed
from forget512.harness.worker.seeds import Seeds
from forget512.harness.worker.unlearn import State, fresh_network

Run = Callable[..., State]


@pytest.fixture
def run(server, candidate) -> Run:
    """run(body, head, seed=0): the state that a candidate with this body leaves."""

    def perform(body: str, head: str = "", seed: int = 0, **options: str) -> State:
        return server.run(candidate(body, head, **options), Seeds("bank", seed))[0]

    return perform


@pytest.fixture
def failure(run) -> Callable[..., ChildFailed]:
    def perform(body: str, head: str = "", **options: str) -> ChildFailed:
        with pytest.raises(ChildFailed) as caught:
            run(body, head, **options)
        assert "\n" not in str(caught.value)
        return caught.value

    return perform


def equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


TRAIN = """
import torch
optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
net.train()
for inputs, targets in retain:
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(net(inputs), targets).backward()
    optimizer.step()
"""


# --- what it gives back ---


def test_a_candidate_returns_a_state_of_the_architecture_and_its_seconds(server, candidate, training, original):
    state, seconds, _ = server.run(candidate(TRAIN + "return net"), Seeds("bank", 0))
    load_strictly(fresh_network(training, torch.device("cpu")), state)
    assert not equal(state, load(original))
    assert 0 < seconds < 60


def test_the_seconds_are_those_of_the_call(server, candidate):
    _, seconds, _ = server.run(candidate("import time; time.sleep(0.3)"), Seeds("bank", 0))
    assert seconds >= 0.3


def test_none_means_changed_in_place(run, original):
    assert equal(run("pass"), load(original))
    assert equal(run(TRAIN), run(TRAIN + "return net"))


def test_a_copy_may_be_returned_instead(run, original):
    body = "twin = copy.deepcopy(net)\nnet.fc.weight.data.zero_()\nreturn twin"
    assert equal(run(body, "import copy"), load(original))


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(run):
    first, other, again = run(TRAIN, seed=3), run(TRAIN, seed=4), run(TRAIN, seed=3)
    assert equal(first, again) and not equal(first, other)


def test_every_kind_of_randomness_comes_from_the_seed(run):
    body = """
import random, numpy as np, torch
for parameter in net.parameters():
    parameter.data.add_(torch.randn_like(parameter) * np.random.rand() * random.random())
"""
    assert equal(run(body, seed=1), run(body, seed=1))
    assert not equal(run(body, seed=1), run(body, seed=2))


# --- what it is given ---


@pytest.fixture
def seen(run, tmp_path) -> Callable[[str, str], dict[str, np.ndarray]]:
    """seen(expression): what a candidate sees, a dictionary of arrays."""

    def look(expression: str, imports: str = "") -> dict[str, np.ndarray]:
        path = tmp_path / "seen.npz"
        run(f"import numpy as np\n{imports}\nnp.savez({str(path)!r}, **({expression}))")
        with np.load(path) as found:
            return dict(found)

    return look


def test_batches_are_inputs_and_targets_normalised_and_of_the_recipes_size(seen, training):
    found = seen(
        "{f'{name}_{kind}{i}': part.numpy() for name, loader in dict(retain=retain, forget=forget, "
        "validation=validation).items() for i, batch in enumerate(loader) for kind, part in zip('xy', batch)}"
    )
    sizes = [len(found[f"retain_y{i}"]) for i in range(4)]
    assert sizes == [16, 16, 16, 6] and "retain_y4" not in found
    for name in ("retain", "forget", "validation"):
        part = getattr(training, name)
        batches = [i for i in range(4) if f"{name}_y{i}" in found]
        x = np.concatenate([found[f"{name}_x{i}"] for i in batches])
        y = np.concatenate([found[f"{name}_y{i}"] for i in batches])
        assert x.dtype == np.float32 and x.shape[1:] == (1, 8, 8) and y.dtype == np.int64
        expected = ((part.x - np.array(training.mean)) / np.array(training.std)).transpose(0, 3, 1, 2)
        keys = [np.column_stack([b, a.reshape(len(a), -1)]) for a, b in ((x, y), (expected, part.y))]
        one, other = (key[np.lexsort(key.round(4).T)] for key in keys)
        assert np.allclose(one, other, atol=1e-5)


def test_retain_and_forget_set_are_shuffled_and_the_validation_set_is_not(seen, training):
    found = seen(
        "{name: np.concatenate([x.numpy() for x, _ in loader]) for name, loader in dict(retain=retain, forget=forget, "
        "validation=validation).items()} | {'again': np.concatenate([x.numpy() for x, _ in retain])}"
    )
    for name in ("retain", "forget", "validation"):
        part = getattr(training, name)
        plain = ((part.x - np.array(training.mean)) / np.array(training.std)).transpose(0, 3, 1, 2)
        assert np.allclose(found[name], plain, atol=1e-5) == (name == "validation")
    assert not np.array_equal(found["retain"], found["again"])


def test_loaders_are_real_ones_with_data_sets_and_batch_sizes(seen):
    found = seen(
        "dict(batch_size=retain.batch_size, lengths=[len(l.dataset) for l in (retain, forget, validation)], "
        "batches=len(retain), item=retain.dataset[3][0].numpy(), target=retain.dataset[3][1], "
        "rebuilt=[len(y) for x, y in DataLoader(retain.dataset, batch_size=20, shuffle=True)], "
        "workers=[len(y) for x, y in DataLoader(forget.dataset, batch_size=4, num_workers=1)], "
        "subset=[y.tolist() for x, y in DataLoader(Subset(retain.dataset, [5, 7]), 2)][0], "
        "joined=sum(len(y) for x, y in DataLoader(ConcatDataset([retain.dataset, forget.dataset]), 7)))",
        "from torch.utils.data import ConcatDataset, DataLoader, Subset",
    )
    assert found["batch_size"] == 16 and found["lengths"].tolist() == [54, 6, 12] and found["batches"] == 4
    assert found["item"].shape == (1, 8, 8) and found["target"].shape == ()
    assert found["rebuilt"].tolist() == [20, 20, 14] and found["workers"].tolist() == [4, 2]
    assert found["joined"] == 60


def test_the_network_is_the_original_model_and_the_next_candidate_gets_it_afresh(run, seen, original):
    run("for p in net.parameters(): p.data.zero_()")
    found = seen("{name: value.numpy() for name, value in net.state_dict().items()}")
    assert equal({name: torch.from_numpy(value) for name, value in found.items()}, load(original))


def test_hyper_parameters_arrive_as_they_were_written_or_set(server, candidate, tmp_path):
    path = tmp_path / "seen.txt"
    parameters = ", lr=0.1, layers=(1, 2), loss=print, *, name='a'"
    algorithm = candidate(f"open({str(path)!r}, 'w').write(repr((lr, layers, loss, name)))", parameters=parameters)
    server.run(algorithm, Seeds("bank", 0))
    assert path.read_text() == "(0.1, (1, 2), <built-in function print>, 'a')"
    (changed,) = with_settings([algorithm], ["lr=2", "layers=[3]", "name=b"])
    server.run(changed, Seeds("bank", 0))
    assert path.read_text() == "(2.0, [3], <built-in function print>, 'b')"


def test_an_algorithm_of_ours_runs_as_a_candidate_and_gives_the_same_network(server, candidate, unlearner, original):
    from forget512.algorithms import finetune

    algorithm = candidate("from forget512.algorithms import finetune\nreturn finetune(net, retain, forget, validation)")
    seeds = Seeds("bank", 0)
    assert equal(server.run(algorithm, seeds)[0], unlearner.unlearn(finetune, {}, seeds, original)[0])


def test_helpers_beside_the_file_can_be_imported_also_later_and_as_they_were(server, tmp_path, original):
    folder = tmp_path / "user"
    folder.mkdir()
    (folder / "helper.py").write_text("def step(net): net.fc.bias.data.fill_(2)")
    (folder / "idea.py").write_text(
        "import helper\ndef unlearning(net, retain, forget, validation):\n    from helper import step\n    step(net)"
    )
    (algorithm,) = load_candidates([folder / "idea.py"])
    (folder / "helper.py").write_text("def step(net): raise SystemExit('edited')")
    (folder / "idea.py").write_text("raise SystemExit('edited')")
    state, *_ = server.run(algorithm, Seeds("bank", 0))
    assert state["fc.bias"].eq(2).all()
    (folder / "idea.py").unlink()
    (folder / "helper.py").unlink()
    assert equal(server.run(algorithm, Seeds("bank", 0))[0], state)


def test_files_beside_the_candidate_can_be_found_by_its_own_path(run, tmp_path):
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "number.txt").write_text("3")
    head = "from pathlib import Path\nNUMBER = float((Path(__file__).parent / 'number.txt').read_text())"
    assert run("net.fc.bias.data.fill_(NUMBER)", head)["fc.bias"].eq(3).all()


# --- how it may fail ---


def test_an_exception_is_told_with_its_line_its_traceback_and_the_last_output(failure):
    found = failure("print('before')\nx = 0\nreturn 1 / x", "# a comment\n")
    assert str(found) == "ZeroDivisionError: division by zero (idea.py, line 6)"
    assert "return 1 / x" in found.traceback and "ZeroDivisionError" in found.traceback
    assert found.output == "before\n"
    assert "forget512-" not in found.traceback


def test_an_exception_in_a_helper_is_told_with_the_helpers_line_and_without_our_temporary_folder(server, tmp_path):
    (tmp_path / "helper.py").write_text("def step(net):\n    raise KeyError('gone')")
    (tmp_path / "idea.py").write_text("import helper\ndef unlearning(net, a, b, c):\n    helper.step(net)")
    with pytest.raises(ChildFailed) as caught:
        server.run(load_candidates([tmp_path / "idea.py"])[0], Seeds("bank", 0))
    assert str(caught.value) == "KeyError: 'gone' (helper.py, line 2)"
    assert "forget512-" not in caught.value.traceback and "raise KeyError('gone')" in caught.value.traceback


def test_the_same_failure_reads_the_same_in_every_run(failure):
    """An algorithm whose first runs fail with one error is stopped: the texts must be equal."""
    one, other = failure("raise ValueError('no')"), failure("raise ValueError('no')")
    assert (str(one), one.traceback) == (str(other), other.traceback)


def test_an_error_with_characters_that_no_encoding_has_is_told(failure):
    assert "ValueError" in str(failure("raise ValueError('\\udcff')"))


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("return {'fc.bias': 1}", "it returned dict, not a network"),
        ("return net.state_dict()", "it returned OrderedDict, not a network"),
        ("return net, 3", "it returned tuple, not a network"),
        ("import sys; sys.exit(3)", "SystemExit: 3 (idea.py, line 3)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt (idea.py, line 3)"),
        ("import os; os._exit(0)", "it ended its process (exit status 0) instead of returning a network"),
        ("import os; os._exit(7)", "it ended its process (exit status 7) instead of returning a network"),
        ("import ctypes; ctypes.string_at(0)", "its process was killed by SIGSEGV"),
        ("import os; os.abort()", "its process was killed by SIGABRT"),
        ("import os; os.kill(os.getpid(), 40)", "its process was killed by signal 40"),
        ("def f(): f()\nf()", "RecursionError"),
        ("retain.no_such_thing", "AttributeError"),
    ],
)
def test_whatever_it_does_costs_its_run_alone(server, failure, run, original, body, what):
    assert what in str(failure(body))
    assert server.alive()
    assert equal(run("pass", name="next_one"), load(original))


def test_output_before_a_crash_is_kept(failure):
    assert "last words" in failure("import os\nprint('last words', flush=True)\nos._exit(1)").output
    assert "from below" in failure("import os\nos.system('echo from below')\nos._exit(1)").output
    assert "aside" in failure("import sys\nprint('aside', file=sys.stderr)\nraise ValueError").output


def test_of_much_output_the_end_is_kept(failure):
    found = failure("for i in range(100_000): print('line', i)\nraise ValueError('no')")
    assert len(found.output) <= KEPT_OUTPUT and found.output.endswith("line 99999\n")


def test_output_that_is_no_text_does_no_harm(failure):
    assert "end" in failure("import os\nos.write(1, b'\\xff\\xfe end')\nraise ValueError").output


def test_much_output_of_a_good_run_does_no_harm(run, original):
    assert equal(run("for i in range(100_000): print('line', i)"), load(original))


def test_closed_standard_streams_do_no_harm(run, original):
    assert equal(run("import sys\nsys.stdout.close()\nsys.stderr.close()"), load(original))


def test_replies_cannot_be_forged_through_open_files(run, failure):
    body = (
        "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'0\\n')\n    except OSError: pass\n"
        "raise ValueError('no')"
    )
    assert "ValueError: no" in str(failure(body))
    assert run("net.fc.bias.data.fill_(2)", name="next_one")["fc.bias"].eq(2).all()


def test_what_it_patches_does_not_reach_the_next_run(run, failure):
    assert "patched" in str(
        failure(
            "import torch\ndef relu(*a, **k): raise ValueError('patched')\n"
            "torch.nn.functional.relu = relu\nfor x, y in retain: net(x)",
        )
    )
    run("for x, y in retain: net(x)", name="next_one")


def test_what_it_does_to_the_data_does_not_reach_the_next_run(run):
    before = run(TRAIN)
    run("retain.dataset.pixels.zero_()\nretain.dataset.targets.zero_()", name="vandal")
    assert equal(run(TRAIN), before)
