"""Names in a store: built and parsed in one file."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forget512.harness.store import layout
from support.commands import ROOT

IDENTITY = {"benchmark": "0123456789abcdef", "algorithm": "my-idea@1a2b3c4d"}
FOLDER = layout.bank_folder(IDENTITY)
BY_HAND = re.compile(
    r"""split\(["']/["']\)|rpartition\(["']/["']\)|["'](banks|benchmarks|originals|damaged)/"""
    r"""|/(bank|source|examined)\.json|\}\.finished"""
)


@given(seed=st.integers(0, 10**6), attempt=st.none() | st.integers(1, 99))
def test_a_records_name_tells_seed_and_attempt(seed, attempt):
    name = layout.record_name(FOLDER, seed, attempt)
    assert layout.parse_record(name) == (seed, attempt) and layout.bank_of(name) == FOLDER


def test_each_kind_of_file_is_parsed_as_itself_and_as_no_other():
    files = {
        layout.parse_record: layout.record_name(FOLDER, 17, 2),
        layout.parse_confidences: layout.confidences_name(FOLDER, 512),
        layout.parse_import_note: layout.import_note_name(FOLDER, "ab" * 32),
        layout.parse_original: layout.original_name("ab" * 32),
        layout.parse_examined: layout.examined_name("cd" * 32, "ab" * 32),
        None: layout.pointer_name("cd" * 32, "ab" * 32, 0),
    }
    for parse in filter(None, files):
        assert [name for name in files.values() if parse(name)] == [files[parse]]


def test_a_banks_folder_tells_benchmark_method_and_key():
    fingerprint, method, key = layout.parse_bank_folder(FOLDER)
    assert (fingerprint, method) == ("0123456789ab", "my-idea@1a2b3c4d") and len(key) == 12


@pytest.mark.parametrize(
    "name", ["banks/notes.txt", "banks/0/notes.txt", "banks/0/a-1/deeper/bank.json", "originals/0/a/bank.json"]
)
def test_a_file_elsewhere_is_of_no_bank(name):
    assert layout.bank_of(name) is None


def test_a_banks_folder_on_a_disk_is_found_in_its_store(tmp_path):
    assert layout.locate(tmp_path / "store" / FOLDER) == ((tmp_path / "store").resolve(), FOLDER)
    with pytest.raises(ValueError, match="its path does not end in"):
        layout.locate(tmp_path / "store")


def test_no_other_file_of_the_harness_builds_or_parses_a_name():
    files = [path for path in (ROOT / "harness").rglob("*.py") if path != ROOT / "harness" / "store" / "layout.py"]
    assert len(files) > 50 and BY_HAND.search('f"banks/{short}"') and BY_HAND.search("name.rpartition('/')")
    found = [
        f"{path}:{number}: {line}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if BY_HAND.search(line)
    ]
    assert found == []
