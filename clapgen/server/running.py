"""Running the application: the port, and the end."""

from __future__ import annotations

import errno
import socket
from typing import Any

import python_multipart  # noqa: F401  # Starlette imports it with the first form
import uvicorn

from clapgen.errors import ClapgenError
from clapgen.server.settings import Settings

MOST_CONNECTIONS = 512
PATIENCE = 5  # seconds for answers that are under way when the server ends


def listening_socket(settings: Settings) -> socket.socket:
    """A socket that listens at the host and port.

    Raises:
        ClapgenError: the port is taken or not allowed, or this machine has no such address.
    """
    host, port = settings.host, settings.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ClapgenError(f"--host {host} is no address of this machine; try 127.0.0.1 or 0.0.0.0.") from error
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            sentence = f"port {port} of {host} is taken; choose another with --port, or 0 for a free one."
        elif error.errno == errno.EACCES:
            sentence = f"port {port} needs more rights; choose one from 1024 on with --port."
        else:
            sentence = f"--host {host} is no address of this machine; try 127.0.0.1 or 0.0.0.0."
        raise ClapgenError(sentence) from error
    return listening


def run_server(app: Any, listening: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=PATIENCE,
    )
    uvicorn.Server(config).run(sockets=[listening])
