"""`/v1/search`: the library of the server, by text and by sound; its sounds are known by number, not by path."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from clapgen.errors import ClapgenError
from clapgen.server.bodies import FORM, FormBody, JsonBody, content_type, form_body, json_body, read_form, read_json
from clapgen.server.documentation import JSON, SOUNDS, answers
from clapgen.server.listening import refusing
from clapgen.server.problems import Problem
from clapgen.server.service import Service
from clapgen.server.uploads import Upload
from clapgen.server.work import Job

if TYPE_CHECKING:
    from clapgen.library import Hit, Library

MOST_HITS = 100


class SearchBody(JsonBody):
    """Body of /v1/search for texts."""

    text: str | list[str] = Field(description="What to find; several texts are added.")
    without: list[str] = Field([], max_length=16, description="Texts to stay away from.")
    k: int = Field(10, ge=1, le=MOST_HITS, description="How many sounds; fewer if the library has fewer.")
    min_seconds: float | None = Field(None, description="Shortest sound.")
    max_seconds: float | None = Field(None, description="Longest sound.")
    tags: list[str] = Field([], max_length=16, description="The sound has all of these.")
    licences: list[str] = Field([], max_length=16, description="Its licence contains one of these.")
    words: bool = Field(False, description="Also rank by the words of captions, tags and names.")
    diverse: float = Field(0.0, ge=0, le=1, description="How much the sounds should differ from each other.")


class SearchFields(FormBody):
    """Fields of /v1/search for a sound."""

    text: list[str] = Field([], max_length=16, description="Texts that are added to the sound.")
    without: list[str] = Field([], max_length=16, description="Texts to stay away from.")
    weight: float = Field(0.5, ge=0, le=1, description="Of the text against the sound.")
    k: int = Field(10, ge=1, le=MOST_HITS, description="How many sounds.")
    min_seconds: float | None = Field(None, description="Shortest sound.")
    max_seconds: float | None = Field(None, description="Longest sound.")
    diverse: float = Field(0.0, ge=0, le=1, description="How much the sounds should differ from each other.")


def routes(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["search"], prefix="/v1/search")
    both = {"required": True, "content": json_body(SearchBody)["content"] | form_body(SearchFields)["content"]}

    @router.post("", summary="Search the library", openapi_extra={"requestBody": both}, responses=answers(JSON))
    async def search(request: Request) -> Response:
        """Texts as JSON, or a form with a sound. Sounds are found by number; `url` plays one."""
        upload: Upload | None = None
        if content_type(request) == FORM:
            fields, upload = await read_form(request, SearchFields, service.uploads)
            given = fields.model_dump()
        else:
            body = await read_json(request, SearchBody)
            given = body.model_dump()
        with refusing(upload):
            library = opened(service)
            texts = given.pop("text")
            given["text"] = [texts] if isinstance(texts, str) else texts
            if not given["text"] and upload is None:
                raise ClapgenError("nothing to search for; give a text or a sound.")
            refuse_files(given["without"])

        def work(job: Job) -> dict[str, Any]:
            return _found(service, library, job, upload, given)

        return await service.done(request, "search", work, upload, quick=True)

    @router.get("/sounds/{number}", summary="A sound of the library", responses=answers(SOUNDS, may_wait=False))
    async def sound(number: int) -> Response:
        """The file as it is."""
        with refusing():
            library = opened(service)
        found = library.store.sounds([number]) if 0 < number < 2**62 else []
        if not found or not found[0].path.is_file():
            raise Problem(404, "the library has no such sound, or its file is gone.")
        return FileResponse(found[0].path, content_disposition_type="inline", filename=found[0].path.name)

    return router


def opened(service: Service) -> Library:
    """The library of the server. Raises `Problem` if it has none."""
    if service.library is None:
        raise Problem(404, "this server has no library; start it with --library.")
    return service.library


def refuse_files(texts: list[str]) -> None:
    """ClapgenError if a text names a file: `Library.search` would read it."""
    from clapgen.library.query import is_file

    for text in texts:
        with contextlib.suppress(OSError, ValueError):
            if is_file(text):
                raise ClapgenError("'without' takes texts, not files.")


def _found(
    service: Service, library: Library, job: Job, upload: Upload | None, given: dict[str, Any]
) -> dict[str, Any]:
    from clapgen.server.sounds_in import checked_length

    if upload is not None:
        checked_length(upload, service.settings.max_seconds)
    k = min(given.pop("k"), max(1, len(library)))
    with _without_location(library):
        hits = library.search(**given, like=[upload.path] if upload else None, k=k)
    return {"hits": [hit_as_dict(rank, hit) for rank, hit in enumerate(hits, 1)], "sounds": len(library)}


@contextlib.contextmanager
def _without_location(library: Library) -> Iterator[None]:
    try:
        yield
    except ClapgenError as error:
        raise ClapgenError(str(error).replace(f" {library.store.location}", "")) from error


def hit_as_dict(rank: int, hit: Hit) -> dict[str, Any]:
    """A sound that was found, without its path."""
    from clapgen.library.export import hit_as_dict as with_path

    values = with_path(rank, hit)
    values["file"] = Path(values.pop("path")).name
    return {**values, "id": hit.sound.id, "url": f"/v1/search/sounds/{hit.sound.id}"}
