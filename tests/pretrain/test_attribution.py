"""The attribution list has every clip with its author, and refuses a clip without a licence."""

from pathlib import Path

import pytest

from clapgen.data.manifest import Clip
from clapgen.errors import ClapgenError
from pretrain.data.attribution import write_attribution


def test_every_clip_is_listed_with_author_licence_and_address(tmp_path):
    clips = [
        Clip(path=Path("b.opus"), licence="CC-BY-4.0", extra={"author": "Ann\tB.", "url": "http://x/b", "source": "s"}),
        Clip(path=Path("a.opus"), licence="CC0-1.0"),
    ]
    assert write_attribution(clips, tmp_path / "list.tsv") == 2
    lines = (tmp_path / "list.tsv").read_text().splitlines()
    assert lines[0] == "clip\tauthor\tlicence\turl" and lines[1] == "a.opus\tunknown\tCC0-1.0\t"
    assert lines[2].startswith("s/b.opus\t") and "CC-BY-4.0" in lines[2] and len(lines) == 3


def test_a_clip_without_licence_is_named_and_nothing_is_written(tmp_path):
    with pytest.raises(ClapgenError, match=r"c\.opus has no licence"):
        write_attribution([Clip(path=Path("c.opus"))], tmp_path / "list.tsv")
    assert not (tmp_path / "list.tsv").exists()
