"""What the OpenAPI page says about answers, and the page itself, which needs nothing from elsewhere."""

from __future__ import annotations

from typing import Any

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One sentence: what is wrong, and how to fix it."},
    },
}
_OBJECT = {"type": "object"}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
SOUNDS = {
    "audio/wav": _BYTES, "audio/flac": _BYTES, "audio/mpeg": _BYTES, "audio/ogg": _BYTES,
    "application/json": {"schema": _OBJECT},
}  # fmt: skip
JSON = {"application/json": {"schema": _OBJECT}}
_WRONG = {
    400: "The body is broken.", 401: "The token is missing or wrong.", 403: "Not from this address.",
    404: "There is no such model or sound.", 406: "No acceptable format.", 408: "The request took too long to arrive.",
    410: "The job is gone.", 413: "Too large.", 415: "Wrong content type.", 422: "A value is wrong.",
    429: "The queue is full; see Retry-After.", 500: "A bug.", 503: "The server is about to end, or has no memory.",
}  # fmt: skip


def answers(content: dict[str, Any], may_wait: bool = True) -> dict[int | str, dict[str, Any]]:
    """The answers of a route: its result, a job if it may be one, and what may be wrong."""
    problem = {"application/problem+json": {"schema": PROBLEM}}
    found: dict[int | str, dict[str, Any]] = {200: {"description": "Done.", "content": content}}
    if may_wait:
        found[202] = {"description": "A job; see Location.", "content": JSON}
    return found | {status: {"description": text, "content": problem} for status, text in _WRONG.items()}
