"""Other readings: one table, from which JSON, text and the report follow."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest

from forget512.harness.results.contents import find_contents
from forget512.harness.results.readings import READINGS, other_readings, readings_json, readings_lines
from forget512.harness.store.backends.folder import Folder
from forget512.harness.store.runs import Columns
from forget512.harness.views.array_reports import score_report
from forget512.harness.views.html.page import write_page
from forget512.harness.workflows.scoring_arrays import score_arrays
from support.synthetic import describe, fill

pytestmark = pytest.mark.usefixtures("coarse_projection")


@dataclass(frozen=True)
class MeanGap:
    """What a newcomer writes in scoring/metrics/: a result that knows how it is shown."""

    gap: float

    def plain(self):
        return {"gap": self.gap}

    def lines(self):
        yield f"mean gap {self.gap:.4f}"


def test_a_new_reading_is_one_entry_and_appears_in_json_text_and_report(tmp_path, monkeypatch):
    def mean_gap(retrained, unlearned, mode):
        return MeanGap(float(retrained.confidences.mean() - unlearned.confidences.mean()))

    monkeypatch.setitem(READINGS, "mean_gap", mean_gap)
    folders = fill(tmp_path / "store", describe(6), {"near": (0.5, 0.9)}, 12)
    scored = score_arrays(folders["retrain"], folders["near"])

    found = json.loads(score_report(scored, as_json=True, per_example=True))["readings"]
    assert list(found) == [*READINGS] and set(found["mean_gap"]) == {"gap"}
    line = f"mean gap {found['mean_gap']['gap']:.4f}"
    assert f"  {line}\n" in score_report(scored, as_json=False, per_example=True)
    write_page(find_contents(Folder(tmp_path / "store")), tmp_path / "report")
    (script,) = (tmp_path / "report" / "data").glob("c*.js")
    assert f'"{line}"' in script.read_text()


def test_what_the_arrays_are_too_few_for_is_null_and_has_no_line():
    rng = np.random.default_rng(0)
    r, u = (Columns(rng.normal(0, 1, (2, 3))) for _ in range(2))  # two runs a side, no probe
    found = readings_json(other_readings(r, u))
    assert found["convergence"] == [] and found["spill_over"] == {}
    assert [name for name, value in found.items() if value is None] == [
        "blocks",
        "joint",
        "klom",
        "u_lira",
        "membership",
    ]
    few = ("convergence", "spill_over", "blocks", "joint", "klom", "u_lira", "membership")
    assert readings_lines({name: reading for name, reading in other_readings(r, u).items() if name in few}) == []
