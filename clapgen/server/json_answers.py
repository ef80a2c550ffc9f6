"""JSON that every client can read: ASCII, without NaN."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response


def encode_json(value: Any) -> bytes:
    """A JSON value as ASCII bytes."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An HTTP answer with a JSON value."""
    return Response(encode_json(value), status, headers, "application/json")
