"""The API under requests drawn from its own description, right and wrong ones: no 500, and problems as promised."""

from pathlib import Path

import pytest

pytest.importorskip("schemathesis")

import schemathesis
from conftest_server import client_of
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from clapgen.server.settings import Settings

pytestmark = pytest.mark.slow

LOCAL = {"Host": "127.0.0.1", "Prefer": "respond-async"}  # jobs, so that a sound of 30 s need not be waited for


def test_no_request_is_answered_with_a_server_error(model: Path, tmp_path: Path) -> None:
    seen: set[int] = set()
    with client_of(Settings(models=(str(model),), data=tmp_path, queue_length=3)) as client:
        schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
        schema.app = client.app
        operations = [each.ok() for each in schema.get_all_operations()]
        assert len(operations) > 12
        for operation in operations:
            modes = [operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode]

            @given(st.one_of(modes))
            @settings(
                max_examples=12, deadline=None, database=None, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            def ask(case) -> None:  # type: ignore[no-untyped-def]
                answer = case.call(headers=LOCAL, base_url="http://127.0.0.1")
                seen.add(answer.status_code)
                assert answer.status_code < 500, answer.content
                if answer.status_code >= 400:
                    assert answer.headers["content-type"] == ["application/problem+json"]

            ask()
    assert {200, 202, 422} <= seen
