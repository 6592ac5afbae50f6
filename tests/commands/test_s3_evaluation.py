"""An evaluation whose store is a bucket on a real S3 server, as a user gives it."""

import pytest

from support.commands import rows, run_cli

EVALUATE = ["evaluate", "finetune", "--runs", 3, "--epochs", 1, "--actors", 1, "--json", "--store"]


def numbers(process):
    """Of an evaluation, without what its clock said."""
    row = rows(process)["finetune"]
    return row["score"]["score"], row["score"]["forgetting_quality"], row["score"]["test_ratio"], row["runs"]


@pytest.mark.slow
def test_an_evaluation_in_a_bucket_scores_as_one_on_disk_and_is_done_once(s3, bucket, tmp_path):
    url = f"s3://{bucket}/digits"
    first, on_disk = run_cli(*EVALUATE, url), run_cli(*EVALUATE, tmp_path / "store")
    assert first.returncode == on_disk.returncode == 0, first.stderr + on_disk.stderr
    assert numbers(first) == numbers(on_disk)

    def objects():
        return {name: (of["ETag"], of["LastModified"]) for name, of in s3.files.find(bucket, detail=True).items()}

    kept = objects()
    names = {name.removeprefix(f"{bucket}/digits/") for name in kept} - {".forget512"}
    on_disk_names = {str(path.relative_to(tmp_path / "store")) for path in (tmp_path / "store").rglob("*.*")}
    assert names == on_disk_names and sum(".finished." in name for name in names) == 6

    again = run_cli(*EVALUATE, url)
    assert again.returncode == 0 and again.stdout == first.stdout and objects() == kept

    everything = b"".join(s3.files.cat(list(kept)).values()) + (first.stdout + first.stderr).encode()
    assert b"the-key-id" not in everything and b"the-secret" not in everything
