"""Errors as problem details (RFC 9457), in the sentences of the command line."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from clapgen.errors import ClapgenError
from clapgen.server.json_answers import encode_json

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
OUT_OF_MEMORY = "not enough memory for this; use shorter sounds, or ask for less at once."
_SENTENCES = {
    404: "there is nothing at this address; see /docs.",
    405: "this address does not take {method}; see /docs.",
}


class Problem(HTTPException):
    """An answer that is an error: its status and one sentence."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, sentence, dict(headers or {}))

    def as_dict(self) -> dict[str, Any]:
        """The object of RFC 9457."""
        title = HTTPStatus(self.status_code).phrase
        return {"type": "about:blank", "title": title, "status": self.status_code, "detail": self.detail}

    def answer(self) -> Response:
        """The HTTP answer."""
        return Response(encode_json(self.as_dict()), self.status_code, dict(self.headers or {}), MEDIA_TYPE)


def problem_of(error: BaseException, hidden: Iterable[tuple[str, str]] = ()) -> Problem:
    """What an error in the work is to a client.

    Args:
        hidden: paths of the server, and what to show instead of them.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, ClapgenError):
        sentence = " ".join(str(error).split())
        for path, name in hidden:
            sentence = sentence.replace(path, name)
        return Problem(422, sentence)
    if isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error):
        return Problem(503, OUT_OF_MEMORY, {"Retry-After": "5"})
    logger.error("%s", "".join(traceback.format_exception(error)))
    return Problem(500, f"unexpected {type(error).__name__}; the server's log has the details. Please report it.")


async def on_problem(request: Request, error: Exception) -> Response:
    """Answer what a route raised."""
    if isinstance(error, RequestValidationError):  # of an address; bodies are read by us
        return Problem(404, _SENTENCES[404]).answer()
    if isinstance(error, HTTPException) and not isinstance(error, Problem):
        sentence = _SENTENCES.get(error.status_code, str(error.detail)).format(method=request.method)
        return Problem(error.status_code, sentence, error.headers).answer()
    return problem_of(error).answer()
