"""The documents tell the truth: the README's Python block runs as it stands, and what it links to exists."""

import re
import shutil
from pathlib import Path

import pytest

from clapgen import read_audio

REPOSITORY = Path(__file__).parent.parent
DOCUMENTS = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")]


@pytest.mark.slow
def test_the_python_block_of_the_readme_runs(
    tmp_path: Path, recordings: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [block] = re.findall(r"^```python\n(.*?)^```", (REPOSITORY / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    shutil.copy(recordings[0], tmp_path / "recording.wav")  # a recording is recognised by its content
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {})
    waveform, sample_rate = read_audio("rain.wav")
    assert len(waveform) == 8 * sample_rate and abs(waveform).max() > 0.5
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3  # cosine similarities, a score, a caption with its score
    assert float(printed[1]) > 0.3
    assert re.fullmatch(r"[A-Z].* 0\.\d+", printed[2])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = document.parent / name if name else document
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings], target
