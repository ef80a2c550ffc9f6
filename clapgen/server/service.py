"""What all routes share: settings, models, the queue, uploads; and how a route has its work done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from clapgen.server.answers import answer_of, wants_json
from clapgen.server.json_answers import json_answer
from clapgen.server.metrics import Metrics
from clapgen.server.models import Models
from clapgen.server.problems import Problem
from clapgen.server.settings import Settings
from clapgen.server.uploads import Upload, Uploads
from clapgen.server.work import CANCELLED, FAILED, Job, WorkQueue

if TYPE_CHECKING:
    from clapgen.library import Library

CLIENT_GONE = 499  # nginx's; nobody receives it


class Service:
    """One server: its parts, for as long as it runs."""

    def __init__(self, settings: Settings) -> None:
        """ClapgenError if a model is unknown, or uploads cannot be kept."""
        self.settings = settings
        self.models = Models(settings.models, settings.device)
        self.library = _library(settings)
        self.uploads = Uploads(settings.data)
        self.metrics = Metrics()
        self.queue = WorkQueue(settings.queue_length, 60 * settings.keep_minutes)
        self.queue.on_over = lambda job, seconds: self.metrics.job(job.what, job.state, seconds)

    def close(self) -> None:
        """End all work and delete uploads."""
        self.queue.close()
        self.uploads.close()
        if self.library is not None:
            self.library.close()

    async def done(
        self, request: Request, what: str, work: Callable[[Job], Any], upload: Upload | None = None, quick: bool = False
    ) -> Response:
        """Have work done and answer with its result; or at once with 202, if the client prefers that (RFC 7240).

        The upload is deleted when the work is over. The work stops when the client goes away.

        Raises:
            Problem: the queue is full, or what the work raised.
        """
        hidden = [*self.models.hidden, *([upload.hidden] if upload else [])]
        job = Job(what, work, quick=quick, hidden=tuple(hidden), cleanup=upload.delete if upload else lambda: None)
        try:
            as_json = wants_json(request)
            self.queue.submit(job)
        except Problem:
            job.cleanup()
            raise
        if _prefers_async(request):
            address = f"/v1/jobs/{job.id}"
            headers = {"Location": address, "Preference-Applied": "respond-async"}
            return json_answer(job_as_dict(self.queue, job), 202, headers)
        await self._until_over_or_gone(request, job)
        self.queue.forget(job)
        return result_of(job, as_json)

    async def _until_over_or_gone(self, request: Request, job: Job) -> None:
        over, gone = asyncio.create_task(job.over()), asyncio.create_task(_gone(request))
        try:
            await asyncio.wait({over, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not job.is_over:
                self.queue.cancel(job)
            for task in (over, gone):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


def _library(settings: Settings) -> Library | None:
    if settings.library is None:
        return None
    from clapgen.library import Library

    return Library.open(settings.library, device=settings.device)


def result_of(job: Job, as_json: bool) -> Response:
    """The answer to a job that is over. Raises its problem if it failed."""
    if job.state == FAILED and job.problem is not None:
        raise job.problem
    if job.state == CANCELLED:
        raise Problem(410, "this job was cancelled.")
    if not job.is_over:
        return Response(status_code=CLIENT_GONE)
    return answer_of(job.result, as_json)


def job_as_dict(queue: WorkQueue, job: Job) -> dict[str, Any]:
    """The state of a job as JSON values."""
    state: dict[str, Any] = {"id": job.id, "kind": job.what, "state": job.state, "done": job.done, "total": job.total}
    state |= {"ahead": queue.position(job), "created": round(job.created, 3), "url": f"/v1/jobs/{job.id}"}
    if job.problem is not None:
        state["problem"] = job.problem.as_dict()
    return state


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _prefers_async(request: Request) -> bool:
    preferences = ",".join(request.headers.getlist("prefer")).lower().split(",")
    return any(each.partition(";")[0].strip() == "respond-async" for each in preferences)
