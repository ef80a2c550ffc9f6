"""A client of a server in this process."""

from starlette.testclient import TestClient

from clapgen.server.app import create_app
from clapgen.server.settings import Settings

ADDRESS = "http://127.0.0.1:7860"
TOKEN = "a-token-of-some-length"


def client_of(settings: Settings) -> TestClient:
    """A client of a server with these settings; use it in a `with` statement."""
    return TestClient(create_app(settings), base_url=ADDRESS, raise_server_exceptions=False)
