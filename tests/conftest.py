"""Shared by all tests: one thread for each process that runs them, commands, and what goes through Ray."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from support.commands import command

pytest_plugins = ["support.tiny"]

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
        assert err.count("\n") == 1 and err.startswith("forget512: ") and "Traceback" not in err
        return err

    return give


@pytest.fixture
def coarse_projection(monkeypatch):
    """Projections of a tenth of the draws, for tests of what is said of them."""
    monkeypatch.setattr("forget512.scoring.projection.DRAWN", 400)
    monkeypatch.setattr("forget512.scoring.projection.DRAWN_FOR_SUBSETS", 60)


class S3:
    """moto's server, see s3_server.py. files: what is on it, as another program sees and changes it."""

    def __init__(self, log):
        import s3fs

        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "support" / "s3_server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        self.endpoint = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"
        self.files = s3fs.S3FileSystem(key="k", secret="s", endpoint_url=self.endpoint, use_listings_cache=False)

    def stop(self):
        """Nothing listens on its port any more; what it stores is kept."""
        self._say("stop")

    def start(self):
        self._say("start")

    def check_credentials(self, check):
        """Whether it refuses who it does not know, which is everybody."""
        request = urllib.request.Request(
            f"{self.endpoint}/moto-api/reset-auth",
            data=b"0" if check else b"inf",
            headers={"Content-Type": "text/plain"},
        )
        urllib.request.urlopen(request).close()

    def _say(self, word):
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == word


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """A real S3 server for all tests that run in this process."""
    with open(tmp_path_factory.mktemp("s3") / "log", "w") as log:
        server = S3(log)
        yield server
        server.process.stdin.close()
        server.process.wait(10)


@pytest.fixture
def s3(s3_server, monkeypatch, tmp_path):
    """The server, with credentials for it in the environment and nothing else of a user's."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    settings = {
        "ENDPOINT_URL": s3_server.endpoint,
        "ACCESS_KEY_ID": "the-key-id",
        "SECRET_ACCESS_KEY": "the-secret",
        "CONFIG_FILE": tmp_path / "none",
        "SHARED_CREDENTIALS_FILE": tmp_path / "none",
        "EC2_METADATA_DISABLED": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", str(value))
    return s3_server


@pytest.fixture
def bucket(s3):
    """The name of a new one."""
    name = f"bucket-{os.urandom(4).hex()}"
    s3.files.mkdir(name)
    return name
