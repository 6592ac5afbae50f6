"""Starts Ray on this machine, or joins a running cluster."""

import importlib.metadata
import logging
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import ray

from forget512.harness.errors import UserError, first_line
from forget512.harness.isolation.environment import CODE, ROOT

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
ADDRESS = re.compile(r"(ray://)?(?P<host>[^/:\s]+|\[[0-9a-fA-F:]+\]):(?P<port>\d+)")
REACH_SECONDS = 5.0
PACKAGES = ("ray", "torch", "torchvision", "numpy", "safetensors")  # whose versions must be equal

_joined: str | None = None  # the cluster that this process is part of


def join(address: str) -> None:
    """Join a running cluster, unless joined already; its nodes get this package by Ray's runtime environment.

    Raises:
        UserError: the address is invalid, or no cluster can be joined there.
    """
    global _joined
    if ray.is_initialized() and _joined in (address, None):
        return
    leave()
    _check_reachable(address)
    try:
        with tempfile.TemporaryDirectory(prefix="forget512-") as folder:
            start_ray(address=address, runtime_env={"py_modules": [str(_package(Path(folder)))]})
        _joined = address
    except Exception as error:  # Ray raises many: no cluster there, another Ray or Python, no token
        raise UserError(
            f"--address {address}: cannot join a cluster there: {first_line(error)}. "
            "(If the cluster requires a token, set RAY_AUTH_MODE=token here too.)"
        ) from error


def _package(folder: Path) -> Path:
    """Copy the package to one folder, as in a wheel, for the nodes of a cluster."""
    package = folder / "forget512"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "forget512", package, ignore=ignore)
    for name in {"harness", "algorithms", "scoring"} - {path.name for path in package.iterdir()}:
        shutil.copytree(CODE / name, package / name, ignore=ignore)
    return package


def leave() -> None:
    """Leave the cluster that was joined."""
    global _joined
    if _joined is not None:
        ray.shutdown()
        _joined = None


def _check_reachable(address: str) -> None:
    """Raise UserError at once if nothing answers; Ray itself would try for minutes."""
    if address == "auto":
        return
    named = ADDRESS.fullmatch(address)
    if named is None:
        raise UserError(f"--address {address}: give auto, HOST:PORT, or ray://HOST:PORT (Ray's client port, 10001).")
    try:
        socket.create_connection((named["host"].strip("[]"), int(named["port"])), timeout=REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"--address {address}: no answer ({first_line(error)}).") from error


def start_ray(**options: Any) -> None:
    """Call `ray.init` without its messages and its signal handler."""
    logging.getLogger("ray").setLevel(logging.ERROR)  # Ray logs its token authentication each time
    handler = signal.getsignal(signal.SIGTERM)
    ray.init(**options, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    if callable(handler) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray has set its own handler


def nodes() -> list[dict[str, Any]]:
    """Return the nodes that are alive, always in the same order."""
    return sorted((node for node in ray.nodes() if node["Alive"]), key=lambda node: node["NodeID"])


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that runs depend on, without local parts such as +cu128."""
    found = {name: importlib.metadata.version(name).partition("+")[0] for name in PACKAGES}
    return {"Python": ".".join(map(str, sys.version_info[:2])), **found}
