"""Computes canonical JSON, and the hashes that name benchmarks, banks and runs."""

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:
    """Write a value as canonical JSON: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def sha256(value: Any) -> str:
    """Return the hex digest of bytes, or of any other value's canonical JSON."""
    data = value if isinstance(value, bytes) else canonical_json(value).encode()
    return hashlib.sha256(data).hexdigest()
