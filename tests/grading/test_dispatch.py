"""Every job gives a result or a reason, and one that ends or holds up its process costs no other."""

import threading
from concurrent.futures import BrokenExecutor, Future

from utils.course.grading.dispatch import Failed, dispatch
from utils.course.grading.tasks import Job

GUILTY, SLOW, ODD = "guilty", "slow", "odd"


class FakePool:
    """Two calls at a time. A guilty one takes down what runs beside it; a slow one never comes back."""

    def __init__(self):
        self.running: list[tuple[Job, Future]] = []
        self.most = 0
        self.restarts = 0
        self.slots: list[int] = []

    def size(self) -> int:
        return 2

    def submit(self, function, *arguments) -> Future:
        job, slot = arguments
        future = Future()
        self.running.append((job, future))
        self.most = max(self.most, len(self.running))
        self.slots.append(slot)
        # As far apart as a real pool's: everything waits until the pool is full, or for a moment.
        threading.Timer(0.02, self.finish, (job, future, function, slot)).start()
        return future

    def finish(self, job, future, function, slot) -> None:
        if (job, future) not in self.running or job.student.startswith(SLOW):
            return
        if job.student.startswith(GUILTY):
            broken, self.running = self.running, []
            for _, each in broken:
                each.set_exception(BrokenExecutor())
            return
        self.running.remove((job, future))
        if job.student.startswith(ODD):
            future.set_exception(ValueError("odd"))
        else:
            future.set_result(function(job, slot))

    def restart(self) -> bool:
        self.restarts += 1
        self.running.clear()
        return True


def run(*students: str, seconds: float = 60.0):
    pool = FakePool()
    jobs = [Job(student, (), (), "", "", None, "none") for student in students]
    found = [(job.student, result) for job, result in dispatch(pool, jobs, lambda job, slot: slot, seconds)]
    assert sorted(student for student, _ in found) == sorted(students), "each once"
    return dict(found), pool


def test_every_job_two_at_a_time():
    found, pool = run(*map(str, range(9)))
    assert not any(isinstance(result, Failed) for result in found.values())
    assert pool.most == 2
    assert set(pool.slots) == {0, 1}


def test_one_that_ends_its_process_costs_no_other():
    found, pool = run("a", GUILTY, "b", "c", GUILTY + "2", "d")
    assert {student for student, result in found.items() if isinstance(result, Failed)} == {
        GUILTY,
        GUILTY + "2",
    }
    assert "ended" in found[GUILTY].reason
    assert pool.restarts >= 2


def test_one_that_hangs_costs_no_other():
    found, _ = run("a", SLOW, "b", "c", seconds=1.5)
    assert {student for student, result in found.items() if isinstance(result, Failed)} == {SLOW}
    assert "longer than" in found[SLOW].reason


def test_an_error_is_a_reason():
    found, pool = run("a", ODD, "b")
    assert found[ODD] == Failed("ValueError: odd")
    assert pool.restarts == 0


def test_nothing_to_do():
    assert run()[0] == {}
