"""`clapgen cache` shows what is cached, and deletes what is asked."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Result, assert_one_line

from clapgen.embedders.cache import EmbeddingCache

Command = Callable[..., Result]


@pytest.fixture
def kept(here: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddingCache:
    """Two entries, one of which was not used for ten days."""
    cache = EmbeddingCache(here / "kept")
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr("clapgen.embedders.store.time.time", lambda: now - 10 * 86_400)
        cache.put({b"old": b"1"})
    cache.put({b"new": b"2"})
    return cache


def test_info(clapgen: Command, kept: EmbeddingCache, monkeypatch: pytest.MonkeyPatch) -> None:
    [info] = clapgen("cache", "info", "--cache", "kept", "--json").json
    assert (info["folder"], info["entries"], info["limit_bytes"]) == ("kept", 2, 2 * 10**9)
    assert info["bytes"] == os.path.getsize("kept/embeddings.sqlite")
    assert info["oldest"] < info["newest"]
    monkeypatch.setenv("CLAPGEN_CACHE", "kept")
    [named] = clapgen("cache", "info", "--json").json
    assert named == info
    text = clapgen("cache", "info").out
    assert "kept" in text
    assert "2,000 MB" in text


def test_clear(clapgen: Command, kept: EmbeddingCache) -> None:
    [cleared] = clapgen("cache", "clear", "--older-than", "5", "--cache", "kept", "--json").json
    assert (cleared["removed"], cleared["entries"]) == (1, 1)
    assert kept.get([b"old", b"new"]) == {b"new": b"2"}
    assert "1 entries removed" in clapgen("cache", "clear", "--cache", "kept").out
    assert kept.info().entries == 0


def test_an_invalid_cache_folder_is_named(clapgen: Command, here: Path) -> None:
    Path("file").touch()
    assert_one_line(clapgen("cache", "info", "--cache", "file"), "file", "cache folder")
    assert_one_line(clapgen("cache", "clear", "--older-than", "-1", "--cache", "new"), "--older-than")
