"""The report's folder as files: what a browser does with them is tested in test_report_page.py."""

from __future__ import annotations

import base64
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as drawn

from forget512.harness.errors import UserError
from forget512.harness.results.contents import find_contents
from forget512.harness.results.densities import STEP, pooled_densities
from forget512.harness.store.backends.folder import Folder
from forget512.harness.store.benchmarks import StoredBenchmark
from forget512.harness.views.html.packing import QUANTILES, density_json, epsilon_json, pack_rules, pack_side
from forget512.harness.views.html.page import write_page
from forget512.harness.views.html.thumbnails import find_dataset, make_sprite
from forget512.scoring import epsilons, forgetting_quality, per_example
from support.commands import command
from support.synthetic import copy_runs, describe, fill, make_bank

NASTY = "<script>window.hacked=1<script><img src=x onerror=window.hacked=1>"  # a folder's name as well
RUNS, EXAMPLES = 12, 9


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A store with two candidates, one of them with a nasty name."""
    root = tmp_path_factory.mktemp("stored") / "store"
    fill(root, describe(EXAMPLES), {"near": (0.1, 0.9), NASTY: (1.0, 0.5)}, RUNS)
    return root


@pytest.fixture(scope="module")
def report(root, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out") / "report"
    write_page(find_contents(Folder(root)), out, command="forget512 report --store 'a&b'")
    return out


def values(out: Path, name: str):
    """What a script file hands over."""
    match = re.fullmatch(r'forget512\.take\("(\w+)",(.*)\);\n', (out / "data" / f"{name}.js").read_text("ascii"))
    assert match and match[1] == name
    return json.loads(match[2])


class Tags(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_the_page_names_only_files_that_lie_beside_it(report):
    tags = Tags((report / "index.html").read_text()).found
    sources = [a["src"] for _, a in tags if "src" in a] + [a["href"] for t, a in tags if t == "link"]
    assert "report.js" in sources and "report.css" in sources
    for source in sources:
        assert source == "data:," or (report / source).is_file(), source
    assert {a["href"][0] for t, a in tags if t == "a"} == {"#"}
    for name in ("report.js", "views.js", "report.css"):
        assert "http" not in (report / name).read_text()


def test_a_name_with_a_script_in_it_is_text(report):
    page = (report / "index.html").read_text()
    assert NASTY not in page and "&lt;script&gt;window.hacked" in page
    assert all(a.get("src") for t, a in Tags(page).found if t == "script")  # none that holds code itself
    assert "&#39;a&amp;b&#39;" in page


def test_the_board_holds_every_candidate_best_first_with_its_interval(report):
    board = values(report, "board")
    assert [row["name"] for row in board["candidates"]] == ["near", NASTY]
    scores = [row["score"] for row in board["candidates"]]
    assert scores[0] > scores[1] > 0
    for row in board["candidates"]:
        assert row["interval"][0] <= row["score"] <= row["interval"][1]
    page = (report / "index.html").read_text()
    assert page.count('class="bar"') == 3 * 2 and page.count('class="ceiling"') == 2


def test_each_candidate_has_the_score_that_score_gives(report, root):
    from forget512.harness.exchange.arrays import read_side
    from forget512.scoring import score

    (banks,) = (root / "banks").iterdir()
    reference, near = (read_side(next(banks.glob(f"{name}-*")), "--retrained").columns for name in ("retrain", "near"))
    expected = score(
        reference.confidences,
        near.confidences,
        retrained_retain_accuracy=reference.retain_accuracy,
        unlearned_retain_accuracy=near.retain_accuracy,
        retrained_test_accuracy=reference.test_accuracy,
        unlearned_test_accuracy=near.test_accuracy,
    )
    row = values(report, "board")["candidates"][0]
    assert row["score"] == expected.score and tuple(row["interval"]) == expected.interval
    bins = values(report, row["key"])["epsilon"]
    of_bins = np.dot(bins["counts"], bins["worth"]) / EXAMPLES
    assert of_bins == pytest.approx(expected.forgetting_quality, rel=1e-12)


def test_pairs_are_said_in_words(report):
    ((key, text),) = values(report, "pairs").items()
    first, second = key.split()
    assert {first, second} == {row["key"] for row in values(report, "board")["candidates"]}
    assert "near" in text and NASTY in text


def test_packed_runs_come_back_as_quantiles(report):
    rng = np.random.default_rng(0)
    confidences = rng.normal(2, 3, (64, 5))
    data = zlib.decompress(base64.b64decode(pack_side(confidences, confidences > 2)))
    low, high = (np.frombuffer(data[10 * k : 10 * (k + 1)], "<i2") * STEP for k in (0, 1))
    inner = np.frombuffer(data[20 : 20 + 5 * (QUANTILES - 2)], np.uint8).reshape(QUANTILES - 2, 5)
    correct = np.frombuffer(data[-5:], np.uint8)
    expected = np.quantile(confidences, np.linspace(0, 1, QUANTILES), axis=0)
    found = np.vstack([low, low + inner.cumsum(axis=0) / 255 * (high - low), high])
    assert np.abs(found - expected).max() < STEP + (high - low).max() / 255
    assert correct / 200 == pytest.approx((confidences > 2).mean(axis=0), abs=1 / 399)


@settings(deadline=None, max_examples=25)
@given(drawn(np.float64, (10, 4), elements=st.floats(-5, 5, width=32)), st.integers(0, 9))
def test_a_packed_epsilon_stays_in_its_bin(retrained, seed):
    unlearned = retrained + np.random.default_rng(seed).normal(0.5, 1, retrained.shape)
    found = epsilons(retrained, unlearned)
    data = zlib.decompress(base64.b64decode(pack_rules(per_example(retrained, unlearned, found))))
    packed = np.frombuffer(data[16:24], "<u2")
    undefined = np.isnan(found)
    assert np.array_equal(packed == 65535, undefined)
    assert np.array_equal(packed[~undefined] // 500, np.floor(found[~undefined] / 0.5))


@settings(deadline=None)
@given(st.lists(st.one_of(st.floats(0, 50), st.just(np.nan)), min_size=1, max_size=40), st.integers(2, 600))
def test_the_bins_account_for_every_example_and_for_all_of_f(values, runs):
    from forget512.scoring import bins

    epsilon = np.array(values)
    found = epsilon_json(epsilon, bins(runs, runs))
    assert sum(found["counts"]) + found["beyond"] + found["undefined"] == len(epsilon)
    worth = sum(n * w for n, w in zip(found["counts"], found["worth"], strict=True)) / len(epsilon)
    assert worth == pytest.approx(forgetting_quality(epsilon, runs, runs), abs=1e-12)


def test_a_pooled_density_has_an_area_of_one():
    rng = np.random.default_rng(0)
    found = pooled_densities(rng.normal(0, 1, (40, 50)), rng.normal(2, 3, (30, 50)))
    x, r, u = found.confidence, found.retrained, found.unlearned
    step = x[1] - x[0]
    assert r.sum() * step == pytest.approx(1, abs=0.02) and u.sum() * step == pytest.approx(1, abs=0.02)
    assert abs((x * u).sum() * step - 2) < 0.2


def test_sides_that_are_one_number_can_be_drawn():
    same = np.full((8, 3), 4.0)
    assert max(density_json(pooled_densities(same, same))["retrained"]) == 1000
    assert pack_side(same, None)


@pytest.mark.parametrize("shape", [(5, 8, 8, 1), (3, 40, 20, 3), (2, 1, 1, 1), (4, 8, 8, 2), (4, 8, 8, 4)])
def test_a_sprite_holds_every_picture(shape):
    import io

    from PIL import Image

    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    sprite = make_sprite(images)
    picture = Image.open(io.BytesIO(sprite.data))
    rows = -(-shape[0] // sprite.columns)
    assert picture.size == (sprite.columns * sprite.width, rows * sprite.height)
    assert max(sprite.width, sprite.height) <= 32
    if shape == (5, 8, 8, 1):
        fourth = np.asarray(picture)[8:16, 0:8]
        assert np.abs(fourth.astype(int) - images[3, ..., 0]).max() <= 1


def test_a_short_bank_is_scored_only_when_asked(tmp_path):
    root = tmp_path / "store"
    folders = fill(root, describe(EXAMPLES), {"near": (0.1, 0.9)}, 4)
    copy_runs(folders["near"], *make_bank(root, describe(EXAMPLES), "short", 7), 3)
    stored = find_contents(Folder(root))
    write_page(stored, tmp_path / "whole")
    assert [row["name"] for row in values(tmp_path / "whole", "board")["candidates"]] == ["near"]
    assert "3 of 4" in (tmp_path / "whole" / "index.html").read_text()
    write_page(stored, tmp_path / "partial", partial=True)
    rows = values(tmp_path / "partial", "board")["candidates"]
    assert [(row["name"], row["ranked"]) for row in rows] == [("near", True), ("short", False)]
    assert list(values(tmp_path / "partial", "pairs").values()) == [
        "N is 4 and 3: F falls with N, so these scores are not compared."
    ]


def test_two_candidates_of_another_n_than_the_boards_are_not_compared(tmp_path):
    root = tmp_path / "store"
    folders = fill(root, describe(EXAMPLES), {"near": (0.1, 0.9)}, 10)
    for number in (7, 8):
        copy_runs(folders["near"], *make_bank(root, describe(EXAMPLES), "short", number), 8)
    write_page(find_contents(Folder(root)), tmp_path / "out", partial=True)
    texts = values(tmp_path / "out", "pairs")
    assert "Both have N = 8, which is not the board's N: F falls with N, so they are not compared." in texts.values()


def test_banks_of_one_method_are_told_apart_by_what_differs(tmp_path):
    fill(tmp_path / "store", describe(3), {"idea": (0, 1)}, 2)
    make_bank(tmp_path / "store", describe(3), "idea", 5)
    names = {bank.name for bank in find_contents(Folder(tmp_path / "store")).candidates}
    assert names == {"idea (number=1)", "idea (number=5)"}


def test_a_folder_that_holds_something_else_is_refused(root, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something that is not a report"):
        write_page(find_contents(Folder(root)), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_report_is_written_over_an_older_one(tmp_path):
    fill(tmp_path / "store", describe(3), {"near": (0, 1)}, 3)
    stored, out = find_contents(Folder(tmp_path / "store")), tmp_path / "out"
    write_page(stored, out)
    (out / "data" / "c999.js").write_text("old")
    write_page(stored, out)
    assert not (out / "data" / "c999.js").exists() and (out / "data" / "c000.js").exists()


@pytest.mark.parametrize("bank", ["near", "retrain"])
def test_a_damaged_record_is_not_counted_and_named_on_the_page(tmp_path, bank):
    folders = fill(tmp_path / "store", describe(3), {"near": (0, 1)}, 4)
    broken = next((tmp_path / "store").rglob(f"{bank}-*/00001.finished.safetensors"))
    broken.write_bytes(broken.read_bytes()[:-1])
    contents = find_contents(Folder(tmp_path / "store"))
    write_page(contents, tmp_path / "out", partial=True)
    assert len(contents.damaged) == 1 and "verify-store --set-aside" in contents.damaged[0]
    assert "00001.finished.safetensors" in (tmp_path / "out" / "index.html").read_text()
    assert broken.exists() and folders["near"].is_dir()


def test_a_report_that_fails_leaves_the_older_one_and_nothing_beside_it(tmp_path):
    near = fill(tmp_path / "store", describe(3), {"near": (0, 1)}, 3)["near"]
    store, out = Folder(tmp_path / "store"), tmp_path / "out"
    write_page(find_contents(store), out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (near / "origin-000000000000.json").write_text("{")
    with pytest.raises(UserError, match=r"origin-0+\.json in the store is damaged"):
        write_page(find_contents(store), out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"store", "out"}


@pytest.mark.parametrize("name", ["thesis.txt", "data/table.csv"])
def test_a_reports_folder_with_something_of_the_users_is_refused(root, tmp_path, name):
    out = tmp_path / "out"
    write_page(find_contents(Folder(root)), out)
    (out / name).write_text("mine")
    with pytest.raises(UserError, match="holds something that is not a report"):
        write_page(find_contents(Folder(root)), out)
    assert (out / name).read_text() == "mine"


def test_other_arrays_among_the_data_cost_only_the_pictures(tmp_path):
    np.savez(tmp_path / "one.npz", a=1)
    found = StoredBenchmark("cifar10", "0" * 64, {"data": {"sha256": ""}}, None, None)
    assert find_dataset(found, tmp_path) is None
    np.savez(tmp_path / "two.npz", a=1)
    assert find_dataset(found, tmp_path) is None


def test_mistakes_of_the_command_are_one_line(refused, root, tmp_path):
    assert "does not exist" in refused("report", "--store", tmp_path / "nowhere")
    assert "has no benchmark xyz" in refused("report", "--store", root, "--benchmark", "xyz")
    assert "both choose the benchmark" in refused("report", "--store", root, "--benchmark", "5", "--forget-class", 3)
    assert "--runs 1" in refused("report", "--store", root, "--runs", 1)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no runs yet" in refused("report", "--store", empty)


def test_of_several_benchmarks_one_must_be_chosen(monkeypatch, capsys, tmp_path):
    first, second = describe(3), describe(3, epochs=12)
    for description in (first, second):
        fill(tmp_path / "store", description, {"near": (0, 1)}, 3)
    status, _, err = command(monkeypatch, capsys, "report", "--store", tmp_path / "store", "--out", tmp_path / "out")
    assert status == 2 and "choose one by --benchmark" in err and f"{second['fingerprint'][:12]} (synthetic)" in err
    given = (
        "report",
        "--store",
        tmp_path / "store",
        "--out",
        tmp_path / "out",
        "--benchmark",
        second["fingerprint"][:7],
    )
    status, out, _ = command(monkeypatch, capsys, *given)
    assert status == 0 and "index.html" in out
