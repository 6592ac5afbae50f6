"""A store in a bucket of S3, of a server with its interface, or of Google Cloud Storage.

A bucket cannot rename. A record is written by one conditional put: the server refuses a name that exists, and shows an
object only once it is complete. fsspec's `mode="create"` sends that condition; a server that ignores it is refused.
"""

import logging
import re
from collections.abc import Iterator
from itertools import count
from typing import Any

from forget512.harness.errors import UserError
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.layout import FOLDERS, aside_name, order

LIBRARIES = {"s3": "s3fs", "gs": "gcsfs"}
LOGGERS = (
    "botocore",
    "aiobotocore",
    "s3fs",
    "gcsfs",
)  # they log tracebacks of errors that are reported in one sentence here
BUCKET_AND_PATH = re.compile(r"([A-Za-z0-9._-]+)(/[^?#]*)?")
MARKER = ".forget512"
PATIENCE = {  # seconds, and tries of each request: half a minute with a server that accepts it and does not answer
    "connect_timeout": 5,
    "read_timeout": 10,
    "retries": {"mode": "standard", "total_max_attempts": 3},
}
# Name of an error in servers and libraries -> its meaning. Their messages are not shown: they may contain secrets.
CAUSES = {
    "the bucket does not exist; create it or correct its name": {
        *("NoSuchBucket", "InvalidBucketName", "FileNotFoundError", "404"),
    },
    "no credentials were found; set them in the environment or in the configuration files of other tools": {
        *("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ProfileNotFound"),
    },
    "the credentials were refused or do not allow this": {
        *("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"),
        *("InvalidClientTokenId", "PermissionError", "RefreshError", "401", "403"),
    },
    "no answer; check the network and the endpoint's URL": {
        *("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"),
        *("ClientConnectorError", "ClientConnectorDNSError", "ServerDisconnectedError", "TimeoutError"),
        *("HTTPClientError", "ProxyConnectionError"),
    },
}

for _name in LOGGERS:
    logging.getLogger(_name).addHandler(logging.NullHandler())
    logging.getLogger(_name).propagate = False


class Bucket(Store):
    """Objects by name below scheme://bucket/path."""

    failures = Exception  # two client libraries over two HTTP stacks have no common base class

    def __init__(self, scheme: str, path: str, existing: bool = False):
        """existing: refuse a store without runs, and write nothing yet.

        Raises:
            UserError: the scheme is not supported, its library is missing, or the store cannot be used.
        """
        if scheme not in LIBRARIES:
            raise UserError(f"--store {scheme}://… is not supported: give a folder, s3://… or gs://…")
        parts = BUCKET_AND_PATH.fullmatch(path.rstrip("/"))
        if not parts:  # not shown, since it may contain a password
            raise UserError(
                f"--store must have the form {scheme}://BUCKET/PATH (no credentials or query in the URL). Credentials "
                "come from the environment or from the configuration files of other tools."
            )
        self.path = (parts[1] + (parts[2] or "")).rstrip("/")
        self.url = f"{scheme}://{self.path}"
        try:
            self.files = _connect(scheme, self.url)
            if existing:
                empty = not any(True for part in FOLDERS for _ in self._list(part))
            else:
                keeps = not self._put(MARKER, b"A store of forget512.\n") or not self._put(MARKER, b"Overwritten.\n")
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"--store {self} cannot be used ({self._why(error)}).") from error
        if existing and empty:
            raise UserError(f"--store {self} does not exist: no runs were saved there yet.")
        if not existing and not keeps:
            raise UserError(
                f"--store {self} cannot be used: its server ignores If-None-Match: * and overwrites existing "
                "objects, so finished runs could be lost. Use another server, or a folder."
            )

    def __str__(self) -> str:
        return self.url

    def _put(self, name: str, data: bytes) -> bool:
        try:
            self.files.pipe_file(f"{self.path}/{name}", data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            if _code(error) not in ("PreconditionFailed", "412"):  # not all servers name the condition
                raise
            return False
        return True

    def _get(self, name: str) -> bytes | None:
        try:
            return self.files.cat_file(f"{self.path}/{name}")
        except FileNotFoundError as error:
            if _code(error) == "NoSuchBucket":
                raise
            return None

    def _list(self, prefix: str) -> Iterator[tuple[str, int]]:
        found = self.files.find(self.path, prefix=f"{prefix}/", detail=True)
        names = {path.removeprefix(f"{self.path}/"): details["size"] for path, details in found.items()}
        yield from sorted(names.items(), key=lambda item: order(item[0]))

    def _remove(self, name: str) -> None:
        try:
            self.files.rm_file(f"{self.path}/{name}")
        except FileNotFoundError as error:  # from one kind of server only
            if _code(error) == "NoSuchBucket":
                raise

    def _set_aside(self, name: str) -> str:
        data = self._get(name)
        if data is None:  # another driver was first
            return aside_name(name, 0)
        aside = next(new for number in count() if self._put(new := aside_name(name, number), data))
        if self._get(name) == data:  # else another driver has saved a valid one meanwhile
            self._remove(name)
        return aside

    def _why(self, error: Exception) -> str:
        code = _code(error)
        meant = [cause for cause, codes in CAUSES.items() if code in codes]
        return ": ".join([code, *meant])


def _connect(scheme: str, url: str) -> Any:
    """Open fsspec's file system, without its caches, which would hide what others write."""
    uncached = {"use_listings_cache": False, "skip_instance_cache": True}
    try:
        if scheme == "gs":
            from gcsfs.core import GCSFileSystem  # the plain class: gcsfs's own choice first requests a bucket's layout

            return GCSFileSystem(requests_timeout=60, **uncached)
        from s3fs import S3FileSystem
    except ImportError as error:
        raise UserError(
            f"--store {url} needs {LIBRARIES[scheme]}: in the project's folder, "
            f".venv/bin/python -m pip install -e '.[{scheme}]'."
        ) from error
    files = S3FileSystem(
        config_kwargs=PATIENCE, max_concurrency=1, **uncached
    )  # 1: with more, it requests sizes before reads
    files.retries = 1  # they would multiply those of PATIENCE
    return files


def _code(error: BaseException) -> str:
    """Return the server's name of an error, or else the library's."""
    for found in (error, error.__cause__):
        if response := getattr(found, "response", None):
            return str(response["Error"].get("Code"))
        if code := getattr(found, "code", None):
            return str(code)
    return "403" if str(error).startswith("Forbidden:") else type(error).__name__  # gcsfs, an OSError
