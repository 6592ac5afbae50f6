"""Actors and the pull loop, on real Ray, with work that is not ours."""

import os
import signal
import sys
import time
from dataclasses import dataclass

import pytest
import ray

from forget512.harness.errors import Doubtful, MachineFault, UserError
from forget512.harness.scheduling.compute import Compute, choose_compute
from forget512.harness.scheduling.events import Event
from forget512.harness.scheduling.options import WorkerOptions
from forget512.harness.scheduling.queue import Lost, Schedule
from forget512.harness.scheduling.ray_pool import Pool
from support.simulated import results

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
CORES = sorted(os.sched_getaffinity(0))
TWO_CORES = Compute("cpu", 2, 0.0)


class Runner:
    """What a worker works with here."""

    def __init__(self, part, device, share, workers):
        self.part, self.device, self.share, self.workers = part, device, share, workers


class Unit:
    """A unit of work of a kind that its class names."""

    original = seed = None

    @property
    def kind(self):
        return type(self).__name__

    name = kind


@dataclass(frozen=True)
class Tell(Unit):
    """Say who did the work, and on which cores."""

    number: int
    original: str | None = None

    def perform(self, runner, original, limit):
        import torch

        cores = sorted(os.sched_getaffinity(0))
        return f"{self.number} {os.getpid()} {cores} {torch.get_num_threads()} {runner.part} {original}".encode()


@dataclass(frozen=True)
class Die(Unit):
    """Kill the actor, until a file says that it was done often enough."""

    counter: str
    times: int

    def perform(self, runner, original, limit):
        with open(self.counter, "a") as file:
            file.write("x")
        if os.path.getsize(self.counter) <= self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        return b"survived"


@dataclass(frozen=True)
class Fail(Unit):
    def perform(self, runner, original, limit):
        raise RuntimeError("the machine has a fault")


@dataclass(frozen=True)
class Diverge(Unit):
    """In doubt at every place, or only on one core."""

    number: int
    everywhere: bool = True

    def perform(self, runner, original, limit):
        if self.everywhere or min(os.sched_getaffinity(0)) == CORES[0]:
            raise Doubtful(b"not finite", "its logits are not finite")
        time.sleep(0.2)  # so that the other core has its turn
        return b"finite"


@dataclass(frozen=True)
class Hungry(Unit):
    number: int

    def perform(self, runner, original, limit):
        raise MachineFault("memory ran out")


@dataclass(frozen=True)
class Sleep(Unit):
    seconds: float

    def perform(self, runner, original, limit):
        time.sleep(self.seconds)
        return b"slept"


@pytest.fixture(scope="module")
def pool(ray_session):
    made = Pool(TWO_CORES, Runner, "training part")
    yield made
    made.close()


def executed(pool, work, original=None):
    if original is not None:
        pool.originals = {"original": original}
    schedule = Schedule(pool)
    for unit in work:
        schedule.add(unit)
    return [(done.work, done.result) for done in results(schedule)]


def test_every_unit_is_done_once_by_actors_with_one_thread_each_on_its_own_core(pool):
    units = [Tell(number, "original") for number in range(20)]
    found = [result.decode().split(maxsplit=2) for _, result in executed(pool, units, original=b"net")]
    assert sorted(int(number) for number, _, _ in found) == list(range(20))
    places = {pid: rest for _, pid, rest in found}
    assert all(rest.endswith("1 training part b'net'") for rest in places.values())
    if len(os.sched_getaffinity(0)) > 1 and len(places) == 2:
        assert len({rest.split("]")[0] for rest in places.values()}) == 2


def test_a_killed_actor_costs_only_its_run_which_is_done_again(pool, tmp_path):
    work = [Die(str(tmp_path / "counter"), times=1), *map(Tell, range(6))]
    found = executed(pool, work)
    assert len(found) == 7
    assert dict(found)[work[0]] == b"survived"


def test_work_that_always_kills_its_actor_is_given_up_and_the_rest_is_done(pool, tmp_path):
    work = [Die(str(tmp_path / "counter"), times=99), *map(Tell, range(6))]
    found = dict(executed(pool, work))
    assert isinstance(found[work[0]], Lost)
    assert "died" in found[work[0]].reason and "3 times" in found[work[0]].reason
    assert all(isinstance(found[unit], bytes) for unit in work[1:])


def test_an_exception_of_the_machine_is_tried_three_times_and_reported(pool):
    [(_, lost)] = executed(pool, [Fail()])
    assert isinstance(lost, Lost) and "the machine has a fault" in lost.reason


def test_what_is_in_doubt_is_checked_by_another_actor(pool):
    assert [result for _, result in executed(pool, map(Diverge, range(4)))] == [b"not finite"] * 4


def test_work_for_which_memory_runs_out_is_lost_and_costs_no_actor(pool):
    before = {result.decode().split()[1] for _, result in executed(pool, map(Tell, range(12)))}
    lost = [result.reason for _, result in executed(pool, map(Hungry, range(5)))]
    assert len(lost) == 5 and all("memory ran out" in reason and "3 times" in reason for reason in lost)
    after = {result.decode().split()[1] for _, result in executed(pool, map(Tell, range(12)))}
    assert after <= before


@pytest.mark.skipif(len(CORES) < 2, reason="one core alone cannot be told from a broken one")
def test_a_core_whose_results_no_other_confirms_is_disabled(ray_session):
    pool = Pool(TWO_CORES, Runner, "training part")
    while len(pool.ready(2)) < 2:
        pool.wait(1.0)
    schedule = Schedule(pool)
    for number in range(20):
        schedule.add(Diverge(number, everywhere=False))
    happened = list(schedule.completed())
    pool.close()
    assert [h.result for h in happened if not isinstance(h, Event)] == [b"finite"] * 20
    [aside] = [h for h in happened if isinstance(h, Event) and h.kind == "aside"]
    assert aside.place.endswith("core 0") and "not finite" in aside.text


def test_an_actor_pulls_its_next_unit_when_it_is_done_with_the_last(pool):
    # One long unit and eight short ones: nothing may be queued behind the long one.
    order = [type(work) for work, _ in executed(pool, [Sleep(3.0), *[Sleep(0.05)] * 8])]
    assert len(order) == 9
    long_last = executed(pool, [Sleep(2.0), Tell(1), Tell(2), Tell(3)])
    assert [work for work, _ in long_last][-1] == Sleep(2.0)


def test_the_queue_may_grow_while_work_is_done(pool):
    schedule, seen = Schedule(pool), []
    schedule.add(Tell(0))
    for done in results(schedule):
        seen.append(done.work.number)
        if done.work.number < 3:
            schedule.add(Tell(done.work.number + 1))
    assert seen == [0, 1, 2, 3]


def test_actors_that_die_as_they_start_end_the_command_with_a_reason(ray_session):
    class Broken:
        def __init__(self, *arguments):
            os._exit(1)

    pool = Pool(Compute("cpu", 1, 0.0), Broken)
    with pytest.raises(UserError, match=r"consecutive failures of the only remaining worker"):
        executed(pool, [Tell(0), Tell(1)])
    pool.close()


def test_workers_that_share_gpus_are_announced(ray_session, monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    shared, whole, cores = (
        Pool(Compute(*each), Runner) for each in (("cuda", 4, 0.25), ("cuda", 1, 1.0), ("cpu", 2, 0.0))
    )
    (event,) = shared.events
    assert event.kind == "sharing" and event.text.startswith("Up to 4 workers share each GPU without the MPS daemon")
    assert not whole.events and not cores.events


@pytest.mark.parametrize("share", [0.3, 0.18, 0.6, 2, 0, -1])
def test_fractions_that_are_not_one_kth_are_refused(share):
    with pytest.raises(UserError, match="not 1/k"):
        choose_compute(WorkerOptions("auto", None, share))


def test_as_many_actors_as_asked_for_on_the_cpu():
    assert choose_compute(WorkerOptions("cpu", 7)) == Compute("cpu", 7, 0.0, most=7)
    with pytest.raises(UserError, match="at least 1"):
        choose_compute(WorkerOptions("cpu", 0))


@pytest.mark.gpu
def test_more_places_than_the_gpus_have_are_refused():
    with pytest.raises(UserError, match="this machine has"):
        choose_compute(WorkerOptions("cuda", 1000, 0.5))


def test_fewer_than_one_worker_is_refused_before_a_cluster_is_joined():
    with pytest.raises(UserError, match="at least 1"):
        choose_compute(WorkerOptions("cuda", 0, None, "192.0.2.1:6379"))
