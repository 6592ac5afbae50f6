"""Checkpoints from elsewhere: which are taken, in which order; and that hostile ones are refused and run nothing."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from forget512.harness.errors import UserError
from forget512.harness.exchange.checkpoints import NotACheckpoint, as_named, list_checkpoints, read_state

LIMIT = 1_000_000
Zip = Callable[..., Path]


def pth(value: object, **options) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


@pytest.fixture
def make_zip(tmp_path) -> Zip:
    """make_zip({name or ZipInfo: bytes}): a zip with these members, deflated."""

    def make(members: dict) -> Path:
        path = tmp_path / "submission.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in members.items():
                archive.writestr(member, data)
        return path

    return make


def names(path: Path) -> list[str]:
    return [Path(checkpoint.name).name for checkpoint in list_checkpoints(path, LIMIT)]


def refusal(path: Path, *parts: str) -> None:
    with pytest.raises(UserError) as caught:
        list_checkpoints(path, LIMIT)
    line = str(caught.value)
    assert "\n" not in line and line.startswith(str(path))
    for part in parts:
        assert part in line


# --- order ---


@pytest.mark.parametrize(
    ("files", "order"),
    [
        (["net_10.pth", "net_9.pth", "net_0.pth"], ["net_0.pth", "net_9.pth", "net_10.pth"]),
        (["v2-1.pt", "v2-00.pt"], ["v2-00.pt", "v2-1.pt"]),
        (["run1-epoch5.pt", "run2-epoch5.pt"], ["run1-epoch5.pt", "run2-epoch5.pt"]),  # 5 twice: by name
        (["b.pt", "a1.pt", "c.safetensors"], ["a1.pt", "b.pt", "c.safetensors"]),
        (["1.pt", "notes.txt", ".2.pt", "2.pth"], ["1.pt", "2.pth"]),
    ],
)
def test_a_folders_checkpoints_are_ordered_by_their_last_numbers_or_else_by_name(tmp_path, files, order):
    for name in files:
        (tmp_path / name).write_bytes(b"")
    assert names(tmp_path) == order


def test_a_zip_of_kaggles_form_is_taken_in_the_order_of_its_numbers(make_zip):
    files = {f"kaggle/tmp/unlearned_checkpoint_{i}.pth": bytes([i]) for i in (10, 2, 1)}
    path = make_zip({**files, "__MACOSX/kaggle/tmp/._unlearned_checkpoint_1.pth": b"", "kaggle/.DS_Store": b""})
    assert [checkpoint.read() for checkpoint in list_checkpoints(path, LIMIT)] == [b"\1", b"\2", b"\n"]


# --- what is in them ---


@pytest.mark.parametrize("write", [save, pth, lambda s: pth(s, _use_new_zipfile_serialization=False)])
@pytest.mark.parametrize("half", [False, True])
def test_a_state_dict_is_read_back(original, write, half):
    state = {name: value.half() if half else value for name, value in load(original).items()}
    found = read_state(write(state), LIMIT)
    assert all(found[name].equal(value) and found[name].dtype == value.dtype for name, value in state.items())


@pytest.mark.parametrize("wrap", ["state_dict", "model_state_dict"])
def test_what_training_scripts_wrap_around_a_state_dict_is_taken_off(wrap):
    state = {f"module.{name}": torch.ones(2) for name in "ab"}
    found = as_named(read_state(pth({wrap: state, "epoch": 3, "optimizer": {"state": {}}}), LIMIT), ["a", "b"])
    assert list(found) == ["a", "b"] and found["a"].equal(torch.ones(2))
    assert as_named(state, list(state)) == state  # an architecture that has it in its own names


class Payload:
    """What pickle would run on loading."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize(
    "write",
    [pth, lambda v: pth(v, _use_new_zipfile_serialization=False), lambda v: pickle.dumps(v, protocol=2)],
    ids=["torch.save", "torch.save of old", "pickle"],
)
def test_a_pickle_with_code_is_refused_naming_it_and_its_code_is_not_run(tmp_path, write):
    trace = tmp_path / "trace"
    data = write({"conv1.weight": Payload(trace)})
    with pytest.raises(NotACheckpoint, match=r"needs code \(\w+\.system\): it was not loaded, and no code was run"):
        read_state(data, LIMIT)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Payload(trace)))
    assert trace.exists()  # what it would have done


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([torch.zeros(2)], "it holds a list, not a state_dict"),
        ({"net": {"a": torch.zeros(2)}}, "'net' is not a plain tensor (dict)"),
        ({1: torch.zeros(2)}, "its names are not all text"),
        ({"epoch": 3}, "'epoch' is not a plain tensor (int)"),
        ({"a": torch.zeros(2, 2).to_sparse()}, "'a' is not a plain tensor (torch.float32 torch.sparse_coo)"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "torch.complex64"),
        ({"a": torch.zeros(2, device="meta")}, "is not a plain tensor"),
    ],
)
def test_anything_but_plain_tensors_is_named(value, said):
    with pytest.raises(NotACheckpoint) as caught:
        read_state(pth(value), LIMIT)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 100, b"PK\3\4 no zip", b"\x02\0\0\0\0\0\0\0{}", b"\x80\2.", bytes(range(99))]
)
def test_a_file_that_is_no_checkpoint_is_one_sentence(data):
    try:
        assert read_state(data, LIMIT) == {}
    except NotACheckpoint as error:
        assert "\n" not in str(error)


def test_a_damaged_checkpoint_is_one_sentence(original):
    for data in (pth(load(original)), original):
        for cut in (9, 100, len(data) // 2, len(data) - 1):
            with pytest.raises(NotACheckpoint):
                read_state(data[:cut], LIMIT)


def test_a_checkpoint_that_is_a_bomb_inside_is_refused_before_it_is_unpacked(original):
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(pth({"a": torch.zeros(10_000_000)}))) as source,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for member in source.infolist():
            target.writestr(member.filename, source.read(member))
    assert len(packed.getvalue()) < LIMIT < 40_000_000
    with pytest.raises(NotACheckpoint, match="it is compressed"):
        read_state(packed.getvalue(), LIMIT)


def test_no_more_than_the_limit_is_read_of_a_file(tmp_path):
    (tmp_path / "0.pt").write_bytes(bytes(3 * LIMIT))
    [checkpoint] = list_checkpoints(tmp_path, LIMIT)
    assert len(checkpoint.read()) == LIMIT + 1
    with pytest.raises(NotACheckpoint, match="larger than 1 MB"):
        read_state(checkpoint.read(), LIMIT)


# --- zips that are refused ---


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"../outside.pth": b""}, "'../outside.pth' is a path that leaves the folder"),
        ({"a/../../outside.pth": b""}, "leaves the folder"),
        ({"/etc/outside.pth": b""}, "leaves the folder"),
        ({"..\\outside.pth": b""}, "leaves the folder"),
        ({"C:\\outside.pth": b""}, "leaves the folder"),
        ({".hidden/../../outside.pth": b""}, "leaves the folder"),
        ({link("0.pth"): b"/etc/passwd"}, "'0.pth' is a link"),
        ({"0.pth": bytes(50_000_000)}, "unpacks to 50 MB"),
        ({"inner.zip": b"PK"}, "'inner.zip' is not a checkpoint"),
        ({"inner.tar.gz": b""}, "nested archives are not opened"),
        ({"0.pth": b"", "run.sh": b"rm"}, "'run.sh' is not a checkpoint"),
        ({}, "holds no checkpoint"),
    ],
)
def test_a_hostile_zip_is_refused_whole(make_zip, tmp_path, members, said):
    refusal(make_zip(members), said)
    assert [file.name for file in tmp_path.iterdir()] == ["submission.zip"]  # nothing was unpacked


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_in_a_zip_is_refused(tmp_path):
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("0.pth", b"a")
        archive.writestr("0.pth", b"b")
    refusal(path, "'0.pth' occurs more than once")


def test_a_zip_with_too_many_members_is_refused(make_zip):
    refusal(make_zip({f"{i}.pth": b"" for i in range(10_001)}), "holds 10001 files: at most 10000")


def test_a_member_that_unpacks_to_more_than_its_header_says_is_refused_at_the_size_that_it_says(make_zip):
    path = make_zip({"0.pth": bytes(50_000_000)})
    data = path.read_bytes()
    path.write_bytes(data.replace((50_000_000).to_bytes(4, "little"), (500_000).to_bytes(4, "little")))
    [checkpoint] = list_checkpoints(path, LIMIT)
    with pytest.raises(UserError, match="is damaged: '0"):
        checkpoint.read()


def test_an_encrypted_member_is_refused(make_zip):
    path = make_zip({"0.pth": b"secret"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(bytes(data))
    refusal(path, "is encrypted")


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\3\4" + bytes(100), b"PK\5\6" + bytes(10)])
def test_what_is_neither_a_folder_nor_a_zip_is_one_line(tmp_path, data):
    path = tmp_path / "submission.zip"
    path.write_bytes(data)
    refusal(path, "is neither a folder nor a readable zip")


def test_a_cut_zip_is_one_line(make_zip):
    path = make_zip({f"{i}.pth": os.urandom(1000) for i in range(3)})
    path.write_bytes(path.read_bytes()[:-40])
    refusal(path, "neither a folder nor a readable zip")


def test_a_path_that_is_not_there_and_an_empty_folder_are_one_line(tmp_path):
    refusal(tmp_path / "nowhere", "does not exist")
    refusal(tmp_path, "holds no checkpoint")
