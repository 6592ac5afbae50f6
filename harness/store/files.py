"""A store of immutable files: put_if_absent, get, list. Here on a local disk; object_store.py has the other kind."""

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from forget512.harness.errors import UserError, first_line

TEMPORARY = ".writing-"
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)  # one slash too: what a Path makes of two

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # of file systems without hard links


class StoreUnavailable(UserError):
    """A store that could be used before cannot now. The reason may pass: a full disk, a lost mount, no network.

    why: a few words.
    """

    def __init__(self, text: str, why: str):
        super().__init__(text)
        self.why = why


def open_store(where: str | Path, existing: bool = False) -> "Store":
    """The store in a folder, or at s3://BUCKET/PATH or gs://BUCKET/PATH. existing: one without runs is refused,
    and nothing is written yet: it may be read-only.

    Raises:
        UserError: it cannot be used, or is not there.
    """
    if url := URL.fullmatch(str(where)):
        from forget512.harness.store.bucket import ObjectStore  # needs libraries that few have

        return ObjectStore(url[1].lower(), url[2], existing)
    return Store(Path(where), existing)


class Store:
    """Files by name ('banks/…/00017.finished.safetensors') under a folder.

    A name, once it can be seen, holds the whole of what was put, durably; it is never written again. str() is what a
    user called the store. Every method raises StoreUnavailable where the store cannot be reached, read or written.
    """

    failures: type[Exception] = OSError

    def __init__(self, root: Path, existing: bool = False):
        """Open, and make if need be. existing: refuse what is not there, and write nothing yet.

        Raises:
            UserError: root cannot be written, or is not there.
        """
        self.root = root
        if existing:
            if not root.is_dir():
                raise UserError(f"--store {root} does not exist: nothing was run with it yet.")
            return
        try:
            root.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=root).close()
        except OSError as error:
            raise UserError(
                f"--store {root} cannot be written ({self._why(error)}): give a folder that can."
            ) from error

    def __str__(self) -> str:
        return str(self.root)

    def put_if_absent(self, name: str, data: bytes) -> bool:
        """Write data under name unless it exists; whether it was written. Durable on return."""
        with self._available("written"):
            return self._put(name, data)

    def get(self, name: str) -> bytes:
        """The bytes under name. Raises FileNotFoundError."""
        with self._available("read"):
            data = self._get(name)
        if data is None:
            raise FileNotFoundError(name)
        return data

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Names under a folder with their sizes in bytes, in order, folder by folder; opens no file."""
        with self._available("read"):
            yield from self._list(prefix)

    def remove(self, name: str) -> None:
        """Delete a file, and its folder once that is empty. For what a user asked to be pruned, nothing else."""
        with self._available("written"):
            self._remove(name)

    def set_aside(self, name: str) -> str:
        """Move a damaged file to damaged/, out of the way of its repetition; the name it has there."""
        with self._available("written"):
            return self._set_aside(name)

    @contextlib.contextmanager
    def _available(self, done: str) -> Iterator[None]:
        try:
            yield
        except self.failures as error:
            why = self._why(error)
            raise StoreUnavailable(
                f"--store {self} cannot be {done} any more ({why}): what was finished before is kept; "
                "mend it and give the same command again.",
                why,
            ) from error

    def _why(self, error: Exception) -> str:
        return getattr(error, "strerror", None) or first_line(error)

    def _put(self, name: str, data: bytes) -> bool:
        target = self.root / name
        self._make_folder(target.parent)
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
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                if target.exists():  # here, of two at the same instant, both can believe that they were first
                    return False
                os.rename(temporary, target)
            _sync_folder(target.parent)
            return True
        finally:
            Path(temporary).unlink(missing_ok=True)

    def _get(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            self._check_root()
            return None

    def _list(self, prefix: str) -> Iterator[tuple[str, int]]:
        try:
            with os.scandir(self.root / prefix) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            self._check_root()
            return
        for entry in found:
            if entry.is_dir():
                yield from self._list(f"{prefix}/{entry.name}")
            elif not entry.name.startswith(TEMPORARY):
                with contextlib.suppress(FileNotFoundError):  # set aside meanwhile by another driver
                    yield f"{prefix}/{entry.name}", entry.stat().st_size

    def _remove(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something else is left in it
            (self.root / name).parent.rmdir()

    def _set_aside(self, name: str) -> str:
        aside = f"damaged/{name}"
        number = 0
        while (self.root / aside).exists():
            number += 1
            aside = f"damaged/{name}.{number}"
        self._make_folder((self.root / aside).parent)
        with contextlib.suppress(FileNotFoundError):  # another driver was first
            os.replace(self.root / name, self.root / aside)
        return aside

    def _make_folder(self, folder: Path) -> None:
        """Below root, never root itself: what is gone may be a mount, and records must not land beneath it."""
        path = self.root
        for part in folder.relative_to(self.root).parts:
            path /= part
            path.mkdir(exist_ok=True)

    def _check_root(self) -> None:
        """An absent file is one thing, an absent store another."""
        os.stat(self.root)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)  # makes the new name itself durable
    finally:
        os.close(handle)
