"""The page: a few files of this package, which ask for nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse, Response

from clapgen.server.problems import Problem
from clapgen.server.service import Service

FOLDER = Path(__file__).parent / "page"
TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
    ".js": "text/javascript; charset=utf-8",
}  # fmt: skip


def routes(service: Service) -> APIRouter:
    """The routes of the page, which are not part of the API's description."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page() -> Response:
        return _file("index.html")

    @router.get("/docs")
    async def docs() -> Response:
        return _file("docs.html")

    @router.get("/page/{name}")
    async def part(name: str) -> Response:
        return _file(name)

    return router


def _file(name: str) -> Response:
    path = FOLDER / name
    if path.parent != FOLDER or path.suffix not in TYPES or not path.is_file():
        raise Problem(404, "there is nothing at this address; see /docs.")
    return FileResponse(path, media_type=TYPES[path.suffix], headers={"Cache-Control": "no-cache"})
