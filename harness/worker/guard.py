"""`python -m forget512.harness.worker.guard WORKER`: the process between a worker and its fork server.

The server ends all processes that a run leaves behind. If the server itself is killed, its orphans become children of
this process, which ends them. It does not import torch, and runs no user's code. Ray kills the children of a worker
that ends, but not their children; so the server lives on long enough to end its run.
"""

import contextlib
import os
import signal
import sys

import psutil

from forget512.harness.isolation.process_tree import adopt_orphans, end_descendants, exit_with

PATIENCE = 5.0  # seconds that the server has to end its run and to remove its files


def main(worker: int) -> None:
    """Start the fork server below this process, and end what is left of it when either ends."""
    adopt_orphans()
    exit_with(worker)
    guard = os.getpid()
    server = os.fork()
    if server == 0:
        adopt_orphans()
        exit_with(guard)
        from forget512.harness.worker.fork_server import main as serve

        serve()
        return
    try:
        _, status = os.waitpid(server, 0)
    except SystemExit:  # the worker has ended, or wants the server to end
        os.kill(server, signal.SIGTERM)
        with contextlib.suppress(psutil.TimeoutExpired):
            psutil.Process(server).wait(PATIENCE)
        raise
    finally:
        end_descendants()
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)  # as a shell shows a signal


if __name__ == "__main__":
    main(int(sys.argv[1]))
