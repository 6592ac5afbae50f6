"""A store in a folder on a disk."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from forget512.harness.errors import UserError
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.layout import aside_name

TEMPORARY = ".writing-"
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # of file systems without hard links


class Folder(Store):
    """Files by name below a folder."""

    def __init__(self, root: Path, existing: bool = False):
        """Open the folder; create it if it does not exist. existing: raise instead, and write nothing yet.

        Raises:
            UserError: root cannot be written, or does not exist.
        """
        self.root = root
        if existing:
            if not root.is_dir():
                raise UserError(f"--store {root} does not exist: no runs were saved there yet.")
            return
        try:
            root.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=root).close()
        except OSError as error:
            raise UserError(
                f"--store {root} cannot be written ({self._why(error)}): give a writable folder."
            ) from error

    def __str__(self) -> str:
        return str(self.root)

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
                if target.exists():  # here, two writers at the same instant can both believe to be first
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
        with contextlib.suppress(OSError):  # it holds something else
            (self.root / name).parent.rmdir()

    def _set_aside(self, name: str) -> str:
        aside = next(new for number in count() if not (self.root / (new := aside_name(name, number))).exists())
        self._make_folder((self.root / aside).parent)
        with contextlib.suppress(FileNotFoundError):  # another driver was first
            os.replace(self.root / name, self.root / aside)
        return aside

    def _make_folder(self, folder: Path) -> None:
        """Create a folder below root, never root itself: a missing root may be a lost mount."""
        path = self.root
        for part in folder.relative_to(self.root).parts:
            path /= part
            path.mkdir(exist_ok=True)

    def _check_root(self) -> None:
        """Distinguish an absent file from an absent store."""
        os.stat(self.root)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)  # makes the new name itself durable
    finally:
        os.close(handle)
