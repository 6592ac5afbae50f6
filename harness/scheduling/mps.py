"""Finds out whether NVIDIA's MPS daemon answers, without which processes that share a GPU take turns on it."""

import os
import socket
from pathlib import Path

PIPES = "CUDA_MPS_PIPE_DIRECTORY"  # NVIDIA's environment variable for the daemon's folder, and its default
DEFAULT_PIPES = "/tmp/nvidia-mps"


def sharing(workers: int) -> str:
    """One line on how so many workers share each GPU of this machine."""
    if answers():
        return f"Up to {workers} workers share each GPU through the MPS daemon, so that they use it at the same time."
    return (
        f"Up to {workers} workers share each GPU without the MPS daemon, so that they take turns. "
        "To let them use it at the same time, start the daemon first: nvidia-cuda-mps-control -d"
    )


def answers() -> bool:
    """Return whether a daemon listens at the control pipe in its folder."""
    control = Path(os.environ.get(PIPES) or DEFAULT_PIPES) / "control"
    try:
        if control.is_fifo():
            os.close(os.open(control, os.O_WRONLY | os.O_NONBLOCK))  # fails if nobody reads it
            return True
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(control))
            return True
    except OSError:
        return False
