"""The order in which work is handed out, and what becomes of what goes wrong: real schedule, simulated workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forget512.harness.errors import UserError
from forget512.harness.scheduling.events import Event
from forget512.harness.scheduling.queue import STRIKES, TRIES, Done, Lost, Schedule
from support.simulated import SimulatedCluster, Unit, results

LONG = [Unit("long", number, 100.0) for number in range(10)]
SHORT = [Unit("short", 100 + number, 1.0) for number in range(50)]


def scheduled(cluster, work, **options):
    schedule = Schedule(cluster, **options)
    for unit in work:
        schedule.add(unit)
    return schedule


def finish(cluster, work, **options):
    """(done, events) of all of it."""
    happened = list(scheduled(cluster, work, **options).completed())
    return [h for h in happened if isinstance(h, Done)], [h for h in happened if isinstance(h, Event)]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.1, 50)), max_size=40),
    st.integers(1, 7),
    st.randoms(use_true_random=False),
)
def test_every_unit_is_done_once_whatever_workers_come_and_go(units, workers, random):
    cluster = SimulatedCluster(workers, lifetime=lambda: random.expovariate(1 / 40), back=3.0)
    work = [Unit(kind, number, seconds) for number, (kind, seconds) in enumerate(units)]
    done, _ = finish(cluster, work)
    assert sorted(d.result for d in done) == list(range(len(units)))


@given(st.lists(st.floats(1, 30), min_size=1, max_size=60), st.integers(1, 9))
def test_no_worker_idles_while_work_waits_and_the_tail_is_at_most_one_unit(seconds, workers):
    cluster = SimulatedCluster(workers)
    work = [Unit("one kind", number, duration) for number, duration in enumerate(seconds)]
    finish(cluster, work)
    assert cluster.clock <= sum(seconds) / workers + max(seconds) + 1e-9  # Graham's bound of list scheduling


def test_the_longest_kinds_go_first_once_they_are_measured():
    cluster = SimulatedCluster(2)
    finish(cluster, [*SHORT, *LONG])
    order = [unit.kind for _, _, unit in cluster.started]
    first_shorts = order.index("long")
    assert first_shorts <= 3  # a few of each kind, to measure it
    after = order[order.index("long") :]
    assert after.index("short") >= len(LONG) - 2 or after.count("long") == len(LONG)
    ideal = (sum(u.seconds for u in LONG) + sum(u.seconds for u in SHORT)) / 2
    assert cluster.clock <= ideal + 3  # the short ones fill the tail


def test_times_that_are_known_need_not_be_measured():
    cluster = SimulatedCluster(1)
    finish(cluster, [*SHORT, *LONG], expected={"short": 1.0, "long": 100.0}.get)
    assert [unit.kind for _, _, unit in cluster.started] == ["long"] * len(LONG) + ["short"] * len(SHORT)


def test_few_units_of_an_unknown_kind_go_before_everything_known():
    cluster = SimulatedCluster(8)
    finish(cluster, [*LONG, *(Unit("new", 500 + i, 5.0) for i in range(20))], expected={"long": 100.0}.get)
    assert sorted(unit.kind for at, _, unit in cluster.started if at == 0) == ["long"] * 5 + ["new"] * 3


def test_a_kind_that_ends_at_once_still_has_three_runs_ahead():  # a candidate that fails thrice is stopped
    cluster = SimulatedCluster(1)
    broken = [Unit("broken", 700 + number, 0.01) for number in range(5)]
    finish(cluster, [*LONG, *broken], expected={"long": 100.0}.get)
    assert [unit.kind for _, _, unit in cluster.started][:4] == ["broken"] * 3 + ["long"]


def test_a_unit_that_the_machine_fails_is_tried_thrice_on_other_workers_and_then_lost():
    cluster = SimulatedCluster(4, outcome=lambda worker, unit: {"fault": "no reason"} if unit.number == 3 else {})
    done, events = finish(cluster, LONG[:6])
    lost = [d for d in done if isinstance(d.result, Lost)]
    assert [d.work.number for d in lost] == [3] and lost[0].result.reason == f"no reason, {TRIES} times"
    tried = [worker for _, worker, unit in cluster.started if unit.number == 3]
    assert len(tried) == TRIES == len(set(tried))
    assert len(done) == 6 and [e.kind for e in events].count("again") == TRIES - 1


def test_a_worker_that_leaves_is_no_failure_of_its_unit():
    cluster = SimulatedCluster(1, back=1.0)
    for number in range(6):  # twice as often as a unit is tried
        cluster.leave(f"worker {number}", 50.0 * (number + 1))
    done, events = finish(cluster, LONG[:1])
    assert [d.result for d in done] == [0]
    assert [e.kind for e in events].count("again") == 6


def test_a_worker_where_everything_fails_is_disabled_and_its_work_done_elsewhere():
    def outcome(worker, unit):
        return {"fault": "a broken device"} if worker == "worker 1" else {}

    cluster = SimulatedCluster(3, outcome=outcome)
    done, events = finish(cluster, SHORT)
    assert sorted(d.result for d in done) == [unit.number for unit in SHORT]
    [aside] = [event for event in events if event.kind == "aside"]
    assert aside.place == "worker 1" and "a broken device" in aside.text
    assert cluster.disabled == ["worker 1"]
    assert sum(worker == "worker 1" for _, worker, _ in cluster.started) == STRIKES


def test_work_that_fails_everywhere_is_lost_and_no_worker_is_blamed():
    def outcome(worker, unit):
        return {"fault": "out of memory", "sound": True} if unit.kind == "hungry" else {}

    cluster = SimulatedCluster(3, outcome=outcome)
    done, events = finish(cluster, [*(Unit("hungry", 900 + number, 1.0) for number in range(20)), *SHORT])
    assert sum(isinstance(d.result, Lost) for d in done) == 20 and len(done) == 20 + len(SHORT)
    assert not [event for event in events if event.kind == "aside"] and not cluster.restarted


def test_a_worker_that_gives_doubtful_results_which_others_do_not_give_is_disabled():
    def outcome(worker, unit):
        return {"result": None, "doubt": "not finite"} if worker == "worker 0" else {}

    cluster = SimulatedCluster(3, outcome=outcome)
    done, events = finish(cluster, SHORT)
    assert sorted(d.result for d in done) == [unit.number for unit in SHORT]
    assert [event.place for event in events if event.kind == "aside"] == ["worker 0"]


def test_a_doubtful_result_that_another_worker_confirms_counts_and_no_worker_is_blamed():
    def outcome(worker, unit):
        return {"result": "failed", "doubt": "not finite"} if unit.kind == "diverges" else {}

    cluster = SimulatedCluster(3, outcome=outcome)
    diverging = [Unit("diverges", 900 + number, 1.0) for number in range(10)]
    done, events = finish(cluster, [*diverging, *SHORT])
    assert [d.result for d in done].count("failed") == 10 and len(done) == 60
    assert not [event for event in events if event.kind == "aside"]
    assert all(sum(u is unit for _, _, u in cluster.started) == 2 for unit in diverging)


def test_with_one_worker_a_doubtful_result_counts_at_once():
    cluster = SimulatedCluster(1, outcome=lambda worker, unit: {"result": "failed", "doubt": "not finite"})
    done, _ = finish(cluster, SHORT[:5])
    assert [d.result for d in done] == ["failed"] * 5 and len(cluster.started) == 5


def test_where_every_worker_fails_it_ends_with_the_reason():
    cluster = SimulatedCluster(2, outcome=lambda worker, unit: {"fault": "no driver"})
    with pytest.raises(UserError, match=r"4 consecutive failures of the only remaining worker, worker .: no driver"):
        finish(cluster, SHORT)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("sound", [True, False])
def test_work_that_fails_everywhere_ends_with_any_number_of_workers(workers, sound):
    def outcome(worker, unit):
        return {"fault": "out of memory", "sound": sound} if unit.number == 3 else {}

    cluster = SimulatedCluster(workers, outcome=outcome)
    done, _ = finish(cluster, LONG[:6])
    assert [d.work.number for d in done if isinstance(d.result, Lost)] == [3] and len(done) == 6


def test_a_result_in_doubt_and_then_a_fault_elsewhere_ends_with_two_places():
    tried = []

    def outcome(worker, unit):
        tried.append(worker)
        return {"result": "failed", "doubt": "not finite"} if len(tried) % 2 else {"fault": "memory", "sound": True}

    done, _ = finish(SimulatedCluster(2, outcome=outcome), LONG[:1])
    assert len(done) == 1


def test_a_node_that_cannot_begin_is_disabled_while_the_others_are_still_starting():
    cluster = SimulatedCluster(
        8, start_seconds=20.0, broken=lambda worker: "no torch" if worker in ("worker 0", "worker 1") else ""
    )
    done, events = finish(cluster, [Unit("long", number, 100.0) for number in range(30)])
    assert len(done) == 30
    assert sorted(event.place for event in events if event.kind == "aside") == ["worker 0", "worker 1"]


def test_a_worker_that_fails_fast_does_not_end_what_others_do_slowly():
    cluster = SimulatedCluster(4, outcome=lambda worker, unit: {"fault": "broken"} if worker == "worker 3" else {})
    cluster._slow = iter([6.0, 6.0, 6.0, 0.1]).__next__
    done, events = finish(cluster, LONG)
    assert sorted(d.result for d in done) == list(range(10))
    assert [event.place for event in events if event.kind == "aside"] == ["worker 3"]


def test_the_last_worker_is_not_disabled_for_those_that_left():
    def broken(worker):
        return "broken" if worker == "worker 1" and cluster.clock > 150 else ""

    cluster = SimulatedCluster(2, broken=broken)
    cluster._back = 1e9
    cluster.leave("worker 0", 120.0)
    cluster.leave("worker 1", 140.0)
    cluster.join(160.0)
    done, events = finish(cluster, LONG)
    assert len(done) == 10 and not [event for event in events if event.kind == "aside"]


def test_results_that_are_here_are_told_before_a_second_interrupt_ends_everything():
    cluster = SimulatedCluster(4)
    asked = []

    def stopping():
        asked.append(cluster.clock)
        if cluster.clock >= 100.0:
            raise KeyboardInterrupt
        return False

    told = []
    with pytest.raises(KeyboardInterrupt):
        for done in results(scheduled(cluster, LONG, stopping=stopping)):
            told.append(done.result)
    assert told  # what came at 100 seconds


def test_many_workers_that_leave_at_once_do_not_end_it():
    cluster = SimulatedCluster(40, back=5.0)
    for number in range(38):
        cluster.leave(f"worker {number}", 0.5)
    done, _ = finish(cluster, SHORT)
    assert len(done) == len(SHORT)


def test_a_worker_that_does_not_answer_is_given_up_and_its_unit_done_elsewhere():
    def outcome(worker, unit):
        return {}

    cluster = SimulatedCluster(2, outcome=outcome, slow=iter([1e6, 1.0]).__next__)
    done, events = finish(cluster, SHORT[:10], limit=lambda kind: 10.0)
    assert sorted(d.result for d in done) == [unit.number for unit in SHORT[:10]]
    [again] = [event for event in events if event.kind == "again"]
    assert "did not answer for 62" in again.text  # 2 x 10 + 600 seconds
    assert "worker 0" in cluster.restarted


def test_what_somebody_else_has_done_is_told_and_not_handed_out():
    cluster = SimulatedCluster(2)
    done, _ = finish(cluster, SHORT, taken=lambda unit: unit.number % 2 == 0)
    assert {d.work.number for d in done if d.result is None} == {u.number for u in SHORT if u.number % 2 == 0}
    assert {unit.number for _, _, unit in cluster.started} == {u.number for u in SHORT if u.number % 2 == 1}


def test_when_stopped_what_runs_is_finished_and_nothing_more_is_begun():
    cluster = SimulatedCluster(3)
    stopped = []
    schedule = scheduled(cluster, LONG, stopping=lambda: bool(stopped))
    done = []
    for happened in schedule.completed():
        if isinstance(happened, Done):
            done.append(happened.result)
            stopped.append(True)
    assert len(done) == len(cluster.started) <= 6
    assert schedule.size == 0


def test_units_may_be_added_and_dropped_while_others_are_done():
    cluster = SimulatedCluster(1)
    schedule = scheduled(cluster, SHORT[:3])
    seen = []
    for done in results(schedule):
        seen.append(done.work.kind)
        if len(seen) == 1:
            schedule.add(Unit("later", 999, 2.0))
            assert schedule.drop("short") and not schedule.drop("short")
    assert seen.count("short") <= 2 and seen[-1] == "later"
