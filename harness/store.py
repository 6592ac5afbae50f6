"""A store of immutable files: put_if_absent, get, list. Here on a local disk."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UserError

TEMPORARY = ".writing-"


class Store:
    """Files by name ('banks/…/00017.finished.safetensors') under a folder.

    A name, once it can be seen, holds the whole of what was put, durably; it is never written again.
    """

    def __init__(self, root: Path):
        """Open, and make if need be.

        Raises:
            UserError: root cannot be written.
        """
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=root).close()
        except OSError as error:
            raise UserError(f"--store {root} cannot be written ({error.strerror}): give a folder that can.") from error

    def put_if_absent(self, name: str, data: bytes) -> bool:
        """Write data under name unless it exists; whether it was written. Durable on return.

        Raises:
            UserError: the disk is full, or the folder is gone or read-only.
        """
        try:
            return self._put_if_absent(self.root / name, data)
        except OSError as error:
            raise UserError(
                f"--store {self.root} cannot be written any more ({error.strerror}): "
                "what was finished before is kept; make room and give the same command again."
            ) from error

    def _put_if_absent(self, target: Path, data: bytes) -> bool:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(temporary, target)  # unlike rename, it fails where the name exists
            except FileExistsError:
                return False
            except OSError:  # a file system without hard links
                if target.exists():
                    return False
                os.rename(temporary, target)
            _sync_folder(target.parent)
            return True
        finally:
            Path(temporary).unlink(missing_ok=True)

    def get(self, name: str) -> bytes:
        """The bytes under name. Raises FileNotFoundError."""
        return (self.root / name).read_bytes()

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Names under a folder with their sizes in bytes; opens no file."""
        folder = self.root / prefix
        if not folder.is_dir():
            return
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                if entry.is_dir():
                    yield from self.list(f"{prefix}/{entry.name}")
                elif not entry.name.startswith(TEMPORARY):
                    with contextlib.suppress(FileNotFoundError):  # set aside meanwhile by another driver
                        yield f"{prefix}/{entry.name}", entry.stat().st_size

    def remove(self, name: str) -> None:
        """Delete a file, and its folder once that is empty. For what a user asked to be pruned, nothing else."""
        (self.root / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something else is left in it
            (self.root / name).parent.rmdir()

    def set_aside(self, name: str) -> str:
        """Move a damaged file to damaged/, out of the way of its repetition; the name it has there."""
        aside = f"damaged/{name}"
        number = 0
        while (self.root / aside).exists():
            number += 1
            aside = f"damaged/{name}.{number}"
        (self.root / aside).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another driver was first
            os.replace(self.root / name, self.root / aside)
        return aside


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)  # makes the new name itself durable
    finally:
        os.close(handle)
