"""Shared by all tests: one thread for each process that runs them, commands, and what goes through Ray."""

import os
import sys

import pytest
from commands import command

for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):  # two processes run tests on two cores
    os.environ.setdefault(name, "1")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """As in an actor: sums have one order, whatever the test before left behind."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def ray_session():
    """One private Ray for all tests that run in this process."""
    import ray

    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """Give a command that must end with status 2 and one line; returns the line."""

    def give(*arguments):
        monkeypatch.chdir(tmp_path)
        status, out, err = command(monkeypatch, capsys, *arguments)
        assert (status, out) == (2, "")
        assert err.count("\n") == 1 and err.startswith("run_eval.py: ") and "Traceback" not in err
        return err

    return give


@pytest.fixture
def coarse_projection(monkeypatch):
    """Projections of a tenth of the draws, for tests of what is said of them."""
    monkeypatch.setattr("scoring.projection.DRAWN", 400)
    monkeypatch.setattr("scoring.projection.DRAWN_FOR_SUBSETS", 60)
