"""Whether the MPS daemon answers, by stand-ins for its control pipe; and the line about it."""

import os
import socket
import tempfile
from pathlib import Path

import pytest

from forget512.harness.scheduling.mps import answers, sharing


@pytest.fixture
def pipes(monkeypatch):
    with tempfile.TemporaryDirectory() as name:  # a socket's path is at most about a hundred characters
        monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", name)
        yield Path(name)


def test_without_a_daemon_nobody_answers(pipes):
    assert not answers()
    (pipes / "control").touch()
    assert not answers()


def test_a_socket_answers_as_long_as_somebody_listens(pipes):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(pipes / "control"))
        assert not answers()
        server.listen()
        assert answers()
    assert not answers()


def test_a_pipe_answers_as_long_as_somebody_reads(pipes):
    os.mkfifo(pipes / "control")
    assert not answers()
    reader = os.open(pipes / "control", os.O_RDONLY | os.O_NONBLOCK)
    assert answers()
    os.close(reader)
    assert not answers()


def test_the_line_says_how_workers_share_a_gpu_and_what_to_start(pipes):
    assert sharing(4) == (
        "Up to 4 workers share each GPU without the MPS daemon, so that they take turns. "
        "To let them use it at the same time, start the daemon first: nvidia-cuda-mps-control -d"
    )
    os.mkfifo(pipes / "control")
    reader = os.open(pipes / "control", os.O_RDONLY | os.O_NONBLOCK)
    assert sharing(2) == "Up to 2 workers share each GPU through the MPS daemon, so that they use it at the same time."
    os.close(reader)
