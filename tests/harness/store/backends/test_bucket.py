"""A store in a bucket, on a real S3 server; test_store.py has what holds for stores of both kinds."""

import json
import re
import subprocess
import sys
import time

import pytest

from forget512.harness.candidates.built_in import built_in
from forget512.harness.errors import UserError
from forget512.harness.store.backends.bucket import Bucket
from forget512.harness.store.backends.contract import StoreUnavailable
from forget512.harness.store.backends.folder import Folder
from forget512.harness.store.backends.opening import open_store
from forget512.harness.store.bank import Bank
from support.commands import command

ORIGINAL = "0" * 64
INSTALL = "--store {0}://b/p needs {1}: in the project's folder, .venv/bin/python -m pip install -e '.[{0}]'."


@pytest.fixture
def url(bucket):
    return f"s3://{bucket}/some/where"


@pytest.fixture
def remote(url):
    return open_store(url)


def sentence(where, **how):
    """What a user is told who opens it; in a few seconds."""
    began = time.monotonic()
    with pytest.raises(UserError) as refused:
        open_store(where, **how)
    assert time.monotonic() - began < 10
    return str(refused.value)


# --- what may be given ---


def test_a_folder_is_a_store_on_disk_and_a_url_is_one_in_a_bucket(tmp_path, remote):
    assert type(open_store(tmp_path)) is Folder and type(remote) is Bucket


def test_a_bucket_alone_will_do(bucket):
    store = open_store(f"s3://{bucket}/")
    assert str(store) == f"s3://{bucket}" and store.put_if_absent("a/1", b"1") and list(store.list("a")) == [("a/1", 1)]


def test_another_kind_of_url_is_refused_naming_what_is_allowed():
    assert sentence("ftp://host/path") == "--store ftp://… is not supported: give a folder, s3://… or gs://…"


@pytest.mark.parametrize("url", ["s3://", "s3://key:SECRET@bucket/path", "s3://b?versionId=1", "s3://b/p#1"])
def test_a_url_that_is_more_or_less_than_bucket_and_path_is_refused_without_being_shown(url):
    said = sentence(url)
    assert "s3://BUCKET/PATH" in said and "SECRET" not in said


def test_a_library_that_is_missing_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)  # as Python itself marks what cannot be imported
    monkeypatch.setitem(sys.modules, "gcsfs.core", None)
    assert sentence("s3://b/p") == INSTALL.format("s3", "s3fs")
    assert sentence("gs://b/p") == INSTALL.format("gs", "gcsfs")


def test_a_bank_in_a_bucket_is_refused_where_local_files_are_scored(refused):
    for url in ("s3://key:PASSWORD@b/banks/0/retrain-0", "S3://b/banks/0/retrain-0"):
        said = refused("score", "--retrained", url, "--unlearned", "u.npz")
        assert "copy the bank's store to a folder" in said and "PASSWORD" not in said


def test_a_scheme_may_be_in_capitals(bucket, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(open_store(f"S3://{bucket}/p")) == f"s3://{bucket}/p" and list(tmp_path.iterdir()) == []


# --- what can be wrong with it ---


@pytest.mark.parametrize("existing", [False, True])
def test_a_bucket_that_does_not_exist_is_named(s3, existing):
    said = sentence("s3://no-such-bucket/x", existing=existing)
    assert said.startswith("--store s3://no-such-bucket/x cannot be used (NoSuchBucket: the bucket does not exist;")


def test_missing_credentials_are_one_sentence(url, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "NoCredentialsError: no credentials were found" in sentence(url)


def test_a_profile_that_is_not_there_is_one_sentence(url, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert "ProfileNotFound: no credentials were found" in sentence(url)


def test_refused_credentials_are_one_sentence_without_them(url, s3):
    s3.check_credentials(True)
    try:
        said = sentence(url)
    finally:
        s3.check_credentials(False)
    assert "InvalidAccessKeyId: the credentials were refused" in said
    assert "the-key-id" not in said and "the-secret" not in said


def test_a_server_that_does_not_answer_is_one_sentence(url, s3):
    s3.stop()
    try:
        assert "EndpointConnectionError: no answer" in sentence(url)
    finally:
        s3.start()


def test_a_server_that_overwrites_what_exists_is_refused(s3):
    s3.files.mkdir("overwrites")
    for _ in range(2):
        assert "ignores If-None-Match: * and overwrites existing objects" in sentence("s3://overwrites/x")


def test_a_store_that_is_gone_meanwhile_is_unavailable_and_goes_on_when_it_is_back(remote, s3):
    remote.put_if_absent("a/1", b"1")
    s3.stop()
    try:
        for use in (
            lambda: remote.put_if_absent("a/2", b"2"),
            lambda: remote.get("a/1"),
            lambda: list(remote.list("a")),
        ):
            with pytest.raises(StoreUnavailable, match=r"\(EndpointConnectionError: .* rerun the command"):
                use()
    finally:
        s3.start()
    assert remote.put_if_absent("a/2", b"2") and remote.get("a/1") == b"1"
    assert list(remote.list("a")) == [("a/1", 1), ("a/2", 1)]


def test_a_bucket_that_is_deleted_meanwhile_is_unavailable_not_empty(s3, bucket):
    store = open_store(f"s3://{bucket}")
    s3.files.rm(bucket, recursive=True)
    for use in (lambda: store.put_if_absent("a", b"1"), lambda: store.get("a"), lambda: list(store.list("a"))):
        with pytest.raises(StoreUnavailable, match="NoSuchBucket"):
            use()


# --- what it holds ---


def test_looking_at_an_existing_store_writes_nothing(s3, bucket):
    s3.files.pipe_file(f"{bucket}/x/banks/0/a-1/bank.json", b"{}")
    store = open_store(f"s3://{bucket}/x", existing=True)
    assert list(store.list("banks")) == [("banks/0/a-1/bank.json", 2)]
    assert s3.files.find(bucket) == [f"{bucket}/x/banks/0/a-1/bank.json"]


def test_what_others_write_is_seen_at_once(remote, s3, url):
    remote.put_if_absent("a/1", b"1")
    assert len(list(remote.list("a"))) == 1
    s3.files.pipe_file(f"{url}/a/2", b"22")
    assert list(remote.list("a")) == [("a/1", 1), ("a/2", 2)]


@pytest.mark.slow
def test_a_listing_of_several_pages_is_whole(remote, s3, url):
    s3.files.pipe({f"{url}/a/{number:05d}": b"1" for number in range(2_300)})  # a page has 1,000
    assert [name for name, _ in remote.list("a")] == [f"a/{number:05d}" for number in range(2_300)]


@pytest.mark.slow
def test_a_file_that_is_sent_in_parts_is_put_once_as_well(remote):
    """As the original model of a large network: what is above 100 MB."""
    data = bytes(110 * 2**20)
    assert remote.put_if_absent("originals/a", data) and not remote.put_if_absent("originals/a", b"other" + data)
    assert list(remote.list("originals")) == [("originals/a", len(data))] and remote.get("originals/a") == data


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: data[:-9] + bytes([data[-9] ^ 4]) + data[-8:]]
)
def test_a_record_that_was_cut_or_changed_is_set_aside_and_named(remote, s3, url, benchmark, make_record, damage):
    def opened():
        bank = Bank(open_store(url), benchmark, built_in("finetune", "tiny"), ORIGINAL)
        bank.refresh()
        return bank

    bank = opened()
    for seed in range(3):
        bank.add(make_record(bank, seed).encode())
    path = f"{url}/{bank.folder}/00001.finished.safetensors"
    broken = damage(s3.files.cat_file(path))
    s3.files.pipe_file(path, broken)
    found = opened()
    assert found.seeds(5) == [0, 2]
    (line,) = found.damaged
    assert "00001.finished.safetensors" in line and f"damaged/{bank.folder}/00001" in line
    assert s3.files.cat_file(f"{url}/damaged/{bank.folder}/00001.finished.safetensors") == broken
    found.add(make_record(bank, 1).encode())
    assert opened().seeds(5) == [0, 1, 2] and opened().damaged == []


def test_a_good_record_that_another_driver_puts_meanwhile_is_not_removed(remote, s3, url, monkeypatch):
    """It comes between the copy to damaged/ and the deletion."""
    remote.put_if_absent("a/1", b"damaged")
    put = remote.files.pipe_file

    def overtaken(path, data, **how):
        put(path, data, **how)
        s3.files.pipe_file(f"{url}/a/1", b"good")

    monkeypatch.setattr(remote.files, "pipe_file", overtaken)
    aside = remote.set_aside("a/1")
    assert (remote.get(aside), remote.get("a/1")) == (b"damaged", b"good")


def test_what_the_client_libraries_log_is_not_printed_beside_the_sentence():
    code = """
import logging
from forget512.harness.store.backends import bucket
for name in bucket.LOGGERS:
    logging.getLogger(name + ".deep").error("Traceback")
logging.getLogger("else").error("heard")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "heard\n")


# --- the commands ---


@pytest.fixture
def uploaded(filled_store, s3, url):
    """The URL of a copy of `filled_store` that another program has made."""
    s3.files.put(str(filled_store.store), url, recursive=True)
    return url


def test_commands_that_read_print_of_a_bucket_what_they_print_of_a_folder(
    monkeypatch, capsys, uploaded, filled_store, tmp_path
):
    for arguments in (
        ["status", "--runs", 16],
        ["leaderboard", "--format", "json"],
        ["verify-store"],
        ["prune"],
    ):
        of_folder = command(monkeypatch, capsys, *arguments, "--store", filled_store.store)
        of_bucket = command(monkeypatch, capsys, *arguments, "--store", uploaded)
        assert of_bucket[0] == of_folder[0] == 0

        def told(said):
            return re.sub(r"\s+", "", said[1]).replace(str(filled_store.store), uploaded)

        assert told(of_bucket) == told(of_folder), arguments


def test_a_bundle_goes_from_bucket_to_bucket(monkeypatch, capsys, uploaded, bucket, tmp_path):
    bundle, other = tmp_path / "bundle", f"s3://{bucket}/other"
    assert command(monkeypatch, capsys, "export", "finetune (lr=0.5)", bundle, "--store", uploaded)[0] == 0
    assert command(monkeypatch, capsys, "import", bundle, "--store", other)[0] == 0
    status, out, _ = command(monkeypatch, capsys, "leaderboard", "--store", other, "--format", "json")
    (board,) = json.loads(out)["boards"]
    assert status == 0 and [row["algorithm"] for row in board["algorithms"]] == ["finetune"]


@pytest.mark.slow
def test_a_report_and_a_split_are_made_from_a_bucket(monkeypatch, capsys, uploaded, filled_store, tmp_path):
    out, options = tmp_path / "report", filled_store.options[:-2]
    status, _, err = command(monkeypatch, capsys, "report", "--store", uploaded, "--out", out, "--partial")
    assert status == 0 and uploaded in (out / "index.html").read_text(), err
    out = tmp_path / "split"
    status, _, err = command(monkeypatch, capsys, "split", *options, "--store", uploaded, "--out", out)
    assert status == 0 and uploaded in (out / "README.md").read_text(), err


def test_a_store_that_stops_answering_is_one_line_of_a_command(refused, uploaded, s3):
    s3.stop()
    try:
        assert "no answer" in refused("status", "--store", uploaded)
    finally:
        s3.start()


@pytest.mark.slow
def test_nothing_is_printed_as_a_command_ends(uploaded):
    """Of sessions left open, for example."""
    done = subprocess.run(
        [sys.executable, "run_eval.py", "status", "--store", uploaded], capture_output=True, text=True
    )
    assert done.returncode == 0 and "finetune" in done.stdout and done.stderr == ""
