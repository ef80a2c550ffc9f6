"""What every request passes first: who may ask, from where, how much may be sent and how slowly."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clapgen.server.problems import Problem
from clapgen.server.settings import MEGABYTE, Settings

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; media-src 'self' blob:; img-src 'self' blob: data:; object-src 'none'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
FREE = ("/healthz", "/openapi.json", "/docs", "/")  # no token needed; neither for the parts of the page


class Guards:
    """Refuses a request or passes it on, counts it, and adds headers to its answer."""

    def __init__(self, app: ASGIApp, settings: Settings, count: Callable[[Scope, int, float], None]) -> None:
        self.app, self.settings, self.count = app, settings, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500
        begun = False

        async def with_headers(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                begun, status = True, message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(scope)
            await self.app(scope, self._limited(scope, receive), with_headers)
        except Problem as problem:
            if begun:
                raise
            await problem.answer()(scope, receive, with_headers)
        finally:
            self.count(scope, status, time.perf_counter() - started)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        self._check_host(headers)
        self._check_origin(headers)
        if self.settings.tokens and not _is_free(scope) and scope["method"] != "OPTIONS":
            self._check_token(headers)
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self.settings.max_upload:
            raise self._too_large()

    def _check_host(self, headers: Headers) -> None:
        """A local server without a token answers to local names alone: others may be another page's (DNS rebinding)."""
        if self.settings.is_local and not self.settings.tokens:
            host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
            if host not in (*LOCAL_HOSTS, self.settings.host) and not host.startswith("127."):
                raise Problem(403, "this server answers to localhost alone; other names need --token-file.")

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if not origin or "*" in self.settings.origins or origin in self.settings.origins:
            return
        if urlsplit(origin).netloc != headers.get("host", ""):
            raise Problem(403, "pages of other addresses may not use this server; see --cors.")

    def _check_token(self, headers: Headers) -> None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("xi-api-key", "")
        known = [hmac.compare_digest(given.encode(), each.encode()) for each in self.settings.tokens]
        if not any(known):
            what = "this token is not known" if given else "this server needs a token"
            raise Problem(401, f"{what}; send it as Authorization: Bearer TOKEN.", {"WWW-Authenticate": "Bearer"})

    def _too_large(self) -> Problem:
        return Problem(
            413,
            f"the upload is larger than {self.settings.max_upload / MEGABYTE:g} MB; send less, or raise --max-upload.",
        )

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """The same messages, but not too many bytes, and not too slowly."""
        received, more = 0, True
        deadline = time.monotonic() + self.settings.upload_seconds

        async def limited() -> Message:
            nonlocal received, more
            if not more:  # the body is here; what follows is that the client goes away
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.01, deadline - time.monotonic()))
            except TimeoutError:
                raise Problem(408, "the request took too long to arrive; see --upload-seconds.") from None
            received += len(message.get("body", b""))
            more = bool(message.get("more_body", False))
            if received > self.settings.max_upload:
                raise self._too_large()
            return message

        return limited


def _is_free(scope: Scope) -> bool:
    return scope["path"] in FREE or scope["path"].startswith("/page/")
