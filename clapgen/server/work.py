"""The queue: one model at work at a time, in a thread of its own; what waits can be watched and cancelled."""

from __future__ import annotations

import asyncio
import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from clapgen.server.problems import Problem, problem_of

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
QUICK_IN_A_ROW = 8  # quick work goes first, but what takes longer is not kept waiting forever
MOST_KEPT_BYTES = 256_000_000  # of the results of finished jobs


class Stopped(Exception):
    """The work was cancelled; raised inside it by `Job.report`."""


@dataclass
class Job:
    """A piece of work.

    Attributes:
        what: its kind, such as "generation".
        work: what is done, in the thread of the queue; it calls `report` often.
        hidden: paths of the server, and what to show instead of them in errors.
        quick: it takes well under a second and goes first.
    """

    what: str
    work: Callable[[Job], Any]
    id: str = ""
    quick: bool = False
    hidden: tuple[tuple[str, str], ...] = ()
    cleanup: Callable[[], None] = lambda: None
    state: str = QUEUED
    done: int = 0
    total: int = 0
    result: Any = None
    problem: Problem | None = None
    created: float = field(default_factory=time.time)
    finished: float = 0.0
    preview: dict[str, Any] | None = None
    cancelling: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in (DONE, FAILED, CANCELLED)

    @property
    def size(self) -> int:
        """Bytes of the result, about."""
        return getattr(self.result, "size", 10_000)

    def report(self, done: int, total: int, preview: dict[str, Any] | None = None) -> None:
        """Say how much is done. Raises `Stopped` if the work is to end."""
        if self.cancelling:
            raise Stopped
        self.done, self.total = done, total
        if preview is not None:
            self.preview = preview
        self.announce()

    def announce(self) -> None:
        """Wake those who wait for a change; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def change(self) -> None:
        """Return when something has changed."""
        await self._changed.wait()

    async def over(self) -> None:
        """Return when nothing more will happen."""
        while True:
            changed = self._changed
            if self.is_over:
                return
            await changed.wait()


class WorkQueue:
    """Jobs that wait, the one that runs, and those that are over, which are kept for a while."""

    def __init__(self, length: int, keep_seconds: float) -> None:
        self.length, self.keep_seconds = length, keep_seconds
        self.era = secrets.token_hex(4)  # in every id, to tell what was before a restart
        self.on_over: Callable[[Job, float], None] = lambda job, seconds: None
        self._waiting: deque[Job] = deque()
        self._quick: deque[Job] = deque()
        self._kept: dict[str, Job] = {}
        self._running: Job | None = None
        self._lock = threading.Condition()
        self._closed = False
        self._quick_in_a_row = 0
        self._usual_seconds = 1.0
        self._thread = threading.Thread(target=self._run, name="clapgen-work", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> Job:
        """Let a job wait for its turn; from the event loop.

        Raises:
            Problem: 429 if the queue is full, 503 if the server is about to end.
        """
        job.id = f"{self.era}-{secrets.token_hex(16)}"
        job._loop = asyncio.get_running_loop()
        with self._lock:
            if self._closed:
                raise Problem(503, "the server is about to end.", {"Retry-After": "10"})
            if self.depth >= self.length:
                wait = str(max(1, math.ceil(self.depth * self._usual_seconds)))
                raise Problem(429, f"the queue is full; try again in {wait} seconds.", {"Retry-After": wait})
            self._forget_old()
            self._kept[job.id] = job
            (self._quick if job.quick else self._waiting).append(job)
            self._lock.notify()
        return job

    @property
    def depth(self) -> int:
        """How many jobs wait."""
        return len(self._waiting) + len(self._quick)

    @property
    def is_working(self) -> bool:
        """Whether a job runs."""
        return self._running is not None

    def position(self, job: Job) -> int:
        """How many jobs are ahead of one that waits, the running one included."""
        with self._lock:
            order = [*self._quick, *self._waiting]
            ahead = order.index(job) if job in order else 0
            return ahead + (1 if self._running else 0)

    def find(self, id: str) -> Job:
        """The job with this id.

        Raises:
            Problem: 410 if it is gone, 404 if there never was one.
        """
        with self._lock:
            self._forget_old()
            if id in self._kept:
                return self._kept[id]
        era, _, rest = id.partition("-")
        if len(era) != 8 or len(rest) != 32 or set(era + rest) - set("0123456789abcdef"):
            raise Problem(404, "there is no such job.")
        if era != self.era:
            raise Problem(410, "this job is gone: the server was started again; send the request again.")
        raise Problem(410, "this job is gone: its result was kept for a while; send the request again.")

    def cancel(self, job: Job) -> None:
        """End a job: at once if it waits, at its next report if it runs."""
        with self._lock:
            job.cancelling = True
            for waiting in (self._quick, self._waiting):
                if job in waiting:
                    waiting.remove(job)
                    self._finish(job, CANCELLED)
                    return

    def forget(self, job: Job) -> None:
        """Keep the result of a job no longer: its client has it."""
        with self._lock:
            self._kept.pop(job.id, None)

    def close(self, patience: float = 5.0) -> None:
        """Take no more jobs, and end those that wait or run."""
        with self._lock:
            self._closed = True
            jobs: Iterable[Job] = [*self._quick, *self._waiting, *([self._running] if self._running else [])]
            self._lock.notify()
        for job in jobs:
            self.cancel(job)
        self._thread.join(patience)

    def _run(self) -> None:
        while True:
            with self._lock:
                while not (self.depth or self._closed):
                    self._lock.wait()
                if self._closed:
                    return
                job = self._running = self._next()
                job.state = RUNNING
            job.announce()
            started = time.perf_counter()
            state = DONE
            try:
                job.result = job.work(job)
            except Stopped:
                state = CANCELLED
            except BaseException as error:
                job.problem, state = problem_of(error, job.hidden), FAILED
            took = time.perf_counter() - started
            self._usual_seconds += 0.1 * (took - self._usual_seconds)
            with self._lock:
                self._running = None
                self._finish(job, state)
            self.on_over(job, took)

    def _next(self) -> Job:
        if self._quick and (not self._waiting or self._quick_in_a_row < QUICK_IN_A_ROW):
            self._quick_in_a_row += 1
            return self._quick.popleft()
        self._quick_in_a_row = 0
        return self._waiting.popleft()

    def _finish(self, job: Job, state: str) -> None:
        job.work, cleanup = _nothing, job.cleanup
        cleanup()
        job.state, job.finished = state, time.time()
        job.announce()

    def _forget_old(self) -> None:
        """Drop results that are old, and the oldest if they fill the memory."""
        over = [job for job in self._kept.values() if job.is_over]
        size = sum(job.size for job in over)
        for job in over:
            if job.finished + self.keep_seconds < time.time() or size > MOST_KEPT_BYTES:
                size -= job.size
                del self._kept[job.id]


def _nothing(job: Job) -> None:
    """What is left of the work of a job that is over, so that its inputs need no memory."""
