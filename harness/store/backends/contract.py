"""Defines what every store guarantees, whatever its storage."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator

from forget512.harness.errors import UserError, first_line


class StoreUnavailable(UserError):
    """Raised if a store that worked before fails. The reason may be temporary: a full disk, a lost mount, no network.

    why: a few words.
    """

    def __init__(self, text: str, why: str):
        super().__init__(text)
        self.why = why


class Store(ABC):
    """Immutable files by name (see layout.py).

    A visible name holds all of its data, durably, and is never overwritten. str() is the user's name of the store.
    Every method raises StoreUnavailable if the store cannot be reached, read or written.
    """

    failures: type[Exception] = OSError  # the exceptions of a backend that cannot be reached, read or written

    def put_if_absent(self, name: str, data: bytes) -> bool:
        """Write data under name unless it exists; return whether it was written. Durable on return."""
        with self._available("write to"):
            return self._put(name, data)

    def get(self, name: str) -> bytes:
        """Read the bytes under name. Raises FileNotFoundError."""
        with self._available("read"):
            data = self._get(name)
        if data is None:
            raise FileNotFoundError(name)
        return data

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """List the names under a folder with their sizes in bytes, in order, folder by folder; opens no file."""
        with self._available("read"):
            yield from self._list(prefix)

    def remove(self, name: str) -> None:
        """Delete a file, and its folder once it is empty. Used only by `prune`, at a user's request."""
        with self._available("write to"):
            self._remove(name)

    def set_aside(self, name: str) -> str:
        """Move a damaged file to damaged/, so that its run can be repeated; return its name there."""
        with self._available("write to"):
            return self._set_aside(name)

    @contextlib.contextmanager
    def _available(self, action: str) -> Iterator[None]:
        try:
            yield
        except self.failures as error:
            why = self._why(error)
            raise StoreUnavailable(
                f"Cannot {action} --store {self} ({why}). Finished runs are safe; fix the problem and rerun the "
                "command.",
                why,
            ) from error

    def _why(self, error: Exception) -> str:
        return getattr(error, "strerror", None) or first_line(error)

    @abstractmethod
    def _put(self, name: str, data: bytes) -> bool: ...

    @abstractmethod
    def _get(self, name: str) -> bytes | None: ...

    @abstractmethod
    def _list(self, prefix: str) -> Iterator[tuple[str, int]]: ...

    @abstractmethod
    def _remove(self, name: str) -> None: ...

    @abstractmethod
    def _set_aside(self, name: str) -> str: ...
