"""Connections to the PostgreSQL server of a library, and its errors in words. Passwords are never shown."""

from __future__ import annotations

import os
import queue
import socket
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

import psycopg
from psycopg import errors, pq
from psycopg.conninfo import conninfo_to_dict

from clapgen.errors import ClapgenError

USUAL_SCHEMA = "clapgen"
CONNECT_SECONDS = 3  # unless the address or PGCONNECT_TIMEOUT says otherwise
_ALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}  # a lost network is noticed
_HINTS = {  # a part of the server's message → what to do
    "password": "put it into ~/.pgpass or PGPASSWORD",
    'database "': "check its name, or make it with createdb",
    'role "': "check the name of the user",
    "connection": "is it running?",
}


@dataclass(frozen=True)
class Address:
    """Where a library is: libpq's parameters, the schema that holds it, and how to name it to users."""

    parameters: dict[str, Any] = field(repr=False)
    schema: str
    shown: str


def parse_address(location: str) -> Address:
    """The parts of `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?schema=NAME&…`; libpq fills in what is left out.

    Raises:
        ClapgenError: it is not such an address. It is not repeated in the message, because it may hold a password.
    """
    base, _, query = location.partition("?")
    options = [option for option in query.split("&") if option]
    schema = next((unquote(option[7:]) for option in options if option.startswith("schema=")), USUAL_SCHEMA)
    others = "&".join(option for option in options if not option.startswith("schema="))
    try:
        parameters = conninfo_to_dict(base + (f"?{others}" if others else ""))
    except psycopg.Error:
        raise ClapgenError(
            "the address of the library cannot be read; give postgresql://USER@HOST:PORT/DATABASE, with special "
            "characters as %XX."
        ) from None
    if not schema or len(schema.encode()) > 63 or schema.startswith("pg_") or "\0" in schema:
        raise ClapgenError(f"schema={schema!r} cannot be the name of a schema in PostgreSQL; give another one.")
    return Address(parameters, schema, _shown(parameters, schema))


def connect(address: Address) -> psycopg.Connection:
    """Connect in autocommit mode.

    Raises:
        ClapgenError: the server cannot be reached in time, also if its name cannot be resolved, or refuses us.
    """
    ours = {"client_encoding": "UTF8", "application_name": f"clapgen process {os.getpid()} on {socket.gethostname()}"}
    seconds = int(address.parameters.get("connect_timeout") or os.environ.get("PGCONNECT_TIMEOUT") or CONNECT_SECONDS)
    parameters = {"connect_timeout": seconds, **_ALIVE, **address.parameters, **ours}
    results: queue.Queue[psycopg.Connection | psycopg.Error] = queue.Queue()

    def try_it() -> None:
        try:
            results.put(psycopg.connect("", autocommit=True, prepare_threshold=None, **parameters))
        except psycopg.Error as error:
            results.put(error)

    threading.Thread(target=try_it, daemon=True).start()  # looking up a name has no time limit of its own
    try:
        result = results.get(timeout=seconds + 1)
    except queue.Empty:
        raise ClapgenError(
            f"the server of the library {address.shown} did not answer within {seconds + 1} seconds; is it running?"
        ) from None
    if isinstance(result, psycopg.Error):
        reason = _first_line(result)
        hint = next((f"; {hint}" for part, hint in _HINTS.items() if part in reason.split("FATAL:")[-1]), "")
        raise ClapgenError(f"the server of the library {address.shown} cannot be used: {reason}{hint}") from result
    for name, value in _ALIVE.items():  # on the server: it frees our locks if this machine is lost
        result.execute(f"SET tcp_{name} = {value}".encode())
    return result


def in_words(error: psycopg.Error, shown: str) -> ClapgenError:
    """An error of PostgreSQL in words, with what to do."""
    if isinstance(error, errors.DiskFull | errors.OutOfMemory):
        return ClapgenError(f"the server of the library {shown} is full (what was added before is kept).")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return ClapgenError(f"the library {shown} cannot be changed: its server is read-only (a replica?).")
    if isinstance(error, errors.InsufficientPrivilege):
        return ClapgenError(f"the library {shown} cannot be used like this by this user: {_first_line(error)}.")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return ClapgenError(
            f"the server of the library {shown} went away ({_first_line(error)}); what was added before is kept; run "
            "the command again when it is back."
        )
    return ClapgenError(f"the library {shown} cannot be used: {_first_line(error)}.")


def _shown(parameters: dict[str, Any], schema: str) -> str:
    secret = {option.keyword.decode() for option in pq.Conninfo.get_defaults() if option.dispchar}
    visible = {name: str(value) for name, value in parameters.items() if name not in secret}
    user, host, port = (visible.get(name, "") for name in ("user", "host", "port"))
    place, in_query = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else ""), dict[str, str]()
    if "/" in host or "," in host:  # a socket, or several servers
        place, in_query = "", {name: visible[name] for name in ("host", "port") if name in visible}
    in_query |= {} if schema == USUAL_SCHEMA else {"schema": schema}
    in_query |= {name: value for name, value in visible.items() if name not in ("user", "host", "port", "dbname")}
    text = f"postgresql://{quote(user)}{'@' if user else ''}{place}/{quote(visible.get('dbname', ''))}"
    return text + ("?" if in_query else "") + "&".join(f"{name}={quote(each)}" for name, each in in_query.items())


def _first_line(error: Exception) -> str:
    lines = [line.strip(" \t-") for line in str(error).splitlines() if line.strip()]
    lines = lines[1:] if len(lines) > 1 and lines[0].startswith("Multiple connection") else lines
    return lines[0].rstrip(".") if lines else type(error).__name__
