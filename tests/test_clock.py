"""A machine whose clock is set back while a command runs."""

import os
import shutil
import subprocess
import sys

import pytest
from commands import ROOT, contents, run_cli

# Preloaded into the command and everything that it starts: after six seconds the time of day is an hour earlier.
SET_BACK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>

static int (*real)(clockid_t, struct timespec *);
static time_t start;

__attribute__((constructor)) static void begin(void) {
    struct timespec now;
    real = dlsym(RTLD_NEXT, "clock_gettime");
    real(CLOCK_MONOTONIC, &now);
    start = now.tv_sec;
}

int clock_gettime(clockid_t clock, struct timespec *value) {
    struct timespec now;
    int status = real(clock, value);
    real(CLOCK_MONOTONIC, &now);
    if (status == 0 && clock == CLOCK_REALTIME && now.tv_sec - start >= 6) value->tv_sec -= 3600;
    return status;
}

time_t time(time_t *value) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (value) *value = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *value, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    value->tv_sec = now.tv_sec;
    value->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None or sys.platform != "linux", reason="needs a C compiler, on Linux")
def test_a_clock_that_is_set_back_changes_no_record(tmp_path):
    (tmp_path / "back.c").write_text(SET_BACK)
    library = tmp_path / "back.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "back.c", "-ldl"], check=True)
    probe = "import time; a = time.time(); time.sleep(7); print(time.time() - a)"
    preloaded = {**os.environ, "LD_PRELOAD": str(library)}
    passed = subprocess.run([sys.executable, "-c", probe], env=preloaded, capture_output=True, text=True, check=True)
    assert -3600 < float(passed.stdout) < -3500  # the clock was set back indeed

    command = ["evaluate", "finetune", "--runs", 40, "--epochs", 1, "--store"]
    done = subprocess.run(
        [sys.executable, ROOT / "run_eval.py", *map(str, command), tmp_path / "store"],
        env=preloaded,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert run_cli(*command, tmp_path / "usual").returncode == 0
    assert contents(tmp_path / "store") == contents(tmp_path / "usual")
