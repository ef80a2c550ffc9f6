"""The web application: routes, page and guards around one `Service`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Scope

from clapgen import __version__
from clapgen.server import editing, generating, information, job_routes, listening, page_routes, searching
from clapgen.server.guards import Guards
from clapgen.server.problems import on_problem
from clapgen.server.service import Service
from clapgen.server.settings import Settings
from clapgen.server.work import Job

DESCRIPTION = "Sound from text, edits, captions, labels, scores, embeddings and search with clapgen."
ROUTERS = (generating, editing, listening, searching, job_routes, information, page_routes)


def create_app(settings: Settings) -> Any:
    """The application (ASGI), as `clapgen serve` runs it.

    Raises:
        ClapgenError: an unknown model, or a folder that cannot be written.
    """
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if settings.warm_up:
            service.queue.submit(Job("loading", service.models.load_first))
        yield
        service.close()

    app = FastAPI(
        title="clapgen", version=__version__, description=DESCRIPTION, docs_url=None, redoc_url=None, lifespan=lifespan
    )
    for error in (HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(error, on_problem)
    for module in ROUTERS:
        app.include_router(module.routes(service))
    inner: Any = app
    if settings.origins:
        inner = CORSMiddleware(
            app,
            settings.origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["Location", "Retry-After", "X-Clapgen-Seed", "X-Clapgen-Score", "X-Clapgen-Sha256"],
        )

    def count(scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        service.metrics.request(scope["method"] if route != "other" else "any", route, status, seconds)

    guarded = Guards(inner, settings, count)
    guarded.service = service  # type: ignore[attr-defined]  # for tests
    return guarded
