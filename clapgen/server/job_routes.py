"""Jobs: their state, their progress as server-sent events, their result, and their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from clapgen.server.answers import wants_json
from clapgen.server.documentation import JSON, SOUNDS, answers
from clapgen.server.json_answers import encode_json, json_answer
from clapgen.server.service import Service, job_as_dict, result_of
from clapgen.server.work import Job

SILENCE_SECONDS = 15.0  # after which a comment shows that the connection lives


def routes(service: Service) -> APIRouter:
    """The routes below /v1/jobs."""
    router = APIRouter(tags=["jobs"], prefix="/v1/jobs")
    queue = service.queue
    described = answers(JSON, may_wait=False)

    @router.get("/{job_id}", summary="State of a job", responses=described)
    async def state(job_id: str) -> Response:
        """queued, running, done, failed or cancelled; how much is done; how many jobs are ahead."""
        return json_answer(job_as_dict(queue, queue.find(job_id)))

    @router.get("/{job_id}/result", summary="Result of a job", responses=answers({**JSON, **SOUNDS}))
    async def result(job_id: str, request: Request) -> Response:
        """What the request would have been answered with; 202 and the state while it is not over."""
        job = queue.find(job_id)
        as_json = wants_json(request)
        if not job.is_over:
            return json_answer(job_as_dict(queue, job), 202, {"Location": f"/v1/jobs/{job.id}", "Retry-After": "1"})
        return result_of(job, as_json)

    events_type = {"text/event-stream": {"schema": {"type": "string"}}}

    @router.get("/{job_id}/events", summary="Progress of a job", responses=answers(events_type, may_wait=False))
    async def events(job_id: str) -> Response:
        """Server-sent events: `progress`, `preview`, and at last `done`, `failed` or `cancelled`."""
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(_events(service, queue.find(job_id)), headers=headers, media_type="text/event-stream")

    @router.delete("/{job_id}", summary="Cancel a job, or delete its result", responses=described)
    async def cancel(job_id: str) -> Response:
        """A job that waits or runs ends soon; the result of one that is over is deleted."""
        job = queue.find(job_id)
        if job.is_over:
            queue.forget(job)
        else:
            queue.cancel(job)
        return json_answer(job_as_dict(queue, job))

    return router


async def _events(service: Service, job: Job) -> AsyncIterator[bytes]:
    shown = None
    while True:
        change = asyncio.ensure_future(job.change())
        if job.preview is not None and job.preview is not shown:
            shown = job.preview
            yield _event("preview", encode_json(shown))
        name = job.state if job.is_over else "progress"
        yield _event(name, encode_json(job_as_dict(service.queue, job)))
        if job.is_over:
            change.cancel()
            return
        try:
            while not (await asyncio.wait({change}, timeout=SILENCE_SECONDS))[0]:
                yield b": still here\n\n"
        finally:
            change.cancel()


def _event(name: str, data: bytes) -> bytes:
    return b"event: " + name.encode("ascii") + b"\ndata: " + data + b"\n\n"
