"""The hash of a candidate's code: what is in it, and that a text as it is stored gives it again."""

from __future__ import annotations

import sys

from forget512.harness.candidates.source import hash_of_files, source_hash, source_text
from forget512.harness.candidates.user_file import own_files
from forget512.harness.isolation.environment import ROOT

FILES = {"idea.py": b"import helper\n", "helper.py": b"x = 1\n"}


def test_a_stored_text_has_the_hash_of_its_files():
    text = source_text("idea", FILES)
    assert source_hash(text) == hash_of_files(FILES)
    assert source_hash({**text, "files": [*text["files"], text["files"][-1]]}) != hash_of_files(FILES)
    assert source_hash({**text, "files": text["files"][::-1]}) != hash_of_files(FILES)  # another file would be run


def test_a_file_cannot_stand_for_a_module_of_ours():
    assert hash_of_files({"training": b""}) != source_hash({"files": [], "algorithms": {"training": 1}})


def test_a_candidate_that_lies_beside_the_package_is_its_file_alone():
    text = b"from forget512.algorithms import finetune as unlearning"
    assert own_files(ROOT / "idea.py", text, set(sys.modules)) == []
