"""Public generators by their names on the hub: each of its answers in one line. Nothing here uses a network."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_public
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from clapgen.errors import ClapgenError
from generation.public import open_checkpoint

NAME = "cvssp/audioldm-s-full-v2"


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A hub that answers `error`, or has `files`, of which a download is found in `snapshot`."""
    answers = SimpleNamespace(error=None, files=[], snapshot=None, wanted=[])

    def model_info(self: Any, name: str, revision: str | None = None, timeout: float | None = None) -> SimpleNamespace:
        assert timeout is not None and timeout <= 5
        if answers.error is not None:
            raise answers.error
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=file) for file in answers.files])

    def snapshot_download(name: str, **options: Any) -> str:
        if options.get("local_files_only") and answers.snapshot is None:
            raise FileNotFoundError(name)
        answers.wanted = options.get("allow_patterns")
        return str(answers.snapshot)

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return answers


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (RepositoryNotFoundError, f"there is no model cvssp/audioldm-s-ful-v2 on the .* Did you mean '{NAME}'"),
        (GatedRepoError, r"accept its licence: do so at https://huggingface.co/cvssp/\S+, then run `hf auth login`"),
        (RevisionNotFoundError, "has no revision 'none'"),
        (ConnectionError, "cannot be downloaded .* Download it elsewhere and give its folder"),
    ],
)
def test_what_the_hub_refuses_is_one_line(hub: SimpleNamespace, kind: type, reason: str) -> None:
    response = SimpleNamespace(headers={}, request=None)
    hub.error = kind("no\nway") if kind is ConnectionError else kind("no\nway", response=response)
    with pytest.raises(ClapgenError, match=reason) as caught:
        open_checkpoint("cvssp/audioldm-s-ful-v2", "none")
    assert "\n" not in str(caught.value)


def test_without_a_connection_the_cache_is_used_unless_it_is_half_downloaded(
    hub: SimpleNamespace, tmp_path: Path
) -> None:
    hub.error, hub.snapshot = ConnectionError("no way"), tiny_public.audioldm(tmp_path)
    found = open_checkpoint(NAME)
    assert (found.name, found.folder, found.kind.name) == (NAME, tmp_path, "AudioLDM")
    (tmp_path / "vae").rename(tmp_path.parent / "gone")
    with pytest.raises(ClapgenError, match="is not complete: it has no folder vae/"):
        open_checkpoint(NAME)


def test_only_what_is_read_is_downloaded(hub: SimpleNamespace, tmp_path: Path) -> None:
    hub.snapshot = tiny_public.audioldm(tmp_path)
    hub.files = [
        "model_index.json", "original.safetensors", "vae/a.safetensors", "vae/a.bin", "vae/a.fp16.safetensors",
        "unet/b.bin", "unet/b.ckpt",
    ]  # fmt: skip
    open_checkpoint(NAME)
    assert sorted(name for name in hub.wanted if "/" in name) == ["unet/b.bin", "vae/a.safetensors"]
    assert "original.safetensors" not in hub.wanted
