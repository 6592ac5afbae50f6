"""Opens a store by its folder or URL."""

import re
from pathlib import Path

from forget512.harness.store.backends.bucket import Bucket
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.backends.folder import Folder

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)  # also one slash, since a Path turns two into one


def open_store(where: str | Path, existing: bool = False) -> Store:
    """Open the store in a folder, or at s3://BUCKET/PATH or gs://BUCKET/PATH.

    existing: refuse a store without runs, and write nothing yet, since it may be read-only.

    Raises:
        UserError: it cannot be used, or does not exist.
    """
    if url := URL.fullmatch(str(where)):
        return Bucket(url[1].lower(), url[2], existing)
    return Folder(Path(where), existing)
