"""What a server may do and how much of it, with safe defaults."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from pathlib import Path

from clapgen.data.text import read_lines
from clapgen.errors import ClapgenError

SHORTEST_TOKEN = 16  # characters
LONGEST_JSON = 1 << 20  # bytes of a request without an upload
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Settings:
    """Everything that `clapgen serve` is told.

    Attributes:
        models: names or folders of the models that requests may choose among; the first is the default.
        library: folder of the library that is searched; None for no search.
        tokens: one of them must come with every request; empty for none.
        max_upload: bytes of a request with a sound.
        max_seconds: length of an uploaded sound, decoded.
        queue_length: how much work may wait; more is answered with 429.
        upload_seconds: how long a client may take to send a request.
        keep_minutes: how long the results of jobs are kept.
        origins: addresses of other pages that may use the API (CORS).
        data: folder for uploads while they are worked on; None for a temporary one.
        warm_up: load the first model at the start, rather than for the first request.
    """

    models: tuple[str, ...] = ("default",)
    library: str | None = None
    host: str = "127.0.0.1"
    port: int = 7860
    device: str = "auto"
    tokens: tuple[str, ...] = ()
    max_upload: int = 64 * MEGABYTE
    max_seconds: float = 600.0
    queue_length: int = 32
    upload_seconds: float = 120.0
    keep_minutes: float = 30.0
    origins: tuple[str, ...] = ()
    data: Path | None = None
    warm_up: bool = False

    def __post_init__(self) -> None:
        checks = {
            "--max-upload must be 1 MB or more": self.max_upload >= MEGABYTE,
            "--max-seconds must be above 0": 0 < self.max_seconds < math.inf,
            "--queue must be 1 or more": self.queue_length >= 1,
            "--upload-seconds must be above 0": 0 < self.upload_seconds < math.inf,
            "--keep-minutes must be above 0": 0 < self.keep_minutes < math.inf,
            "--port must be 0 to 65535": 0 <= self.port <= 65535,
        }
        for sentence, right in checks.items():
            if not right:
                raise ClapgenError(f"{sentence}.")
        for origin in self.origins:
            if origin != "*" and not origin.startswith(("http://", "https://")):
                raise ClapgenError(f"--cors must be an origin such as https://example.org, or *, not '{origin}'.")

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def read_tokens(file: Path) -> tuple[str, ...]:
    """The tokens in a text file, one a line; lines that are empty or start with # do not count.

    Raises:
        ClapgenError: the file cannot be read, has no token, or one that is short or has spaces.
    """
    lines = [line.strip() for line in read_lines(file)]
    tokens = tuple(line for line in lines if line and not line.startswith("#"))
    if not tokens:
        raise ClapgenError(f"{file} has no token; write one a line, of {SHORTEST_TOKEN} characters or more.")
    for token in tokens:
        if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise ClapgenError(
                f"{file}: a token must have {SHORTEST_TOKEN} characters or more, of ASCII and without spaces; make one "
                "with: openssl rand -hex 24"
            )
    return tokens
