"""`/healthz`, `/metrics` and `/v1/models`."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from clapgen import __version__
from clapgen.server.documentation import JSON, answers
from clapgen.server.json_answers import json_answer
from clapgen.server.metrics import CONTENT_TYPE
from clapgen.server.service import Service


def routes(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["server"])
    described = answers(JSON, may_wait=False)

    @router.get("/healthz", summary="Whether the server is up", responses=described)
    async def healthz() -> Response:
        """Needs no token. `ready` says that a model is in memory."""
        queue = service.queue
        state = {"status": "ok", "version": __version__, "ready": service.models.ready}
        return json_answer({**state, "working": queue.is_working, "waiting": queue.depth})

    text = {"text/plain": {"schema": {"type": "string"}}}

    @router.get("/metrics", summary="Counters for Prometheus", responses=answers(text, may_wait=False))
    async def metrics() -> Response:
        """Requests by route and status, jobs by kind and state, their times, and the queue."""
        gauges = [
            ("clapgen_queue_waiting", "Jobs that wait.", float(service.queue.depth)),
            ("clapgen_queue_working", "Whether a job runs.", float(service.queue.is_working)),
        ]
        return Response(service.metrics.text(gauges), headers={"Content-Type": CONTENT_TYPE})

    @router.get("/v1/models", summary="The models of this server", responses=described)
    async def models() -> Response:
        """Their names, what they can do, and the hashes of their weights. The first is the default."""
        return json_answer({"object": "list", "data": service.models.describe()})

    return router
