"""Adding to a library: only new content is embedded; what moved, changed or is gone is found out."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clapgen.embedders import load_clap
from clapgen.errors import ClapgenError
from clapgen.library import Library
from clapgen.library.adding import AddReport

Write = Callable[..., Path]


class Counted:
    """A CLAP that counts the windows that it embeds."""

    def __init__(self, clap: object) -> None:
        self.clap, self.windows = clap, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.clap, name)

    def embed_windows(self, windows: list) -> object:
        self.windows += len(windows)
        return self.clap.embed_windows(windows)  # type: ignore[attr-defined]


@pytest.fixture
def counted(library: Library) -> Counted:
    library.__dict__["clap"] = counted = Counted(load_clap(library._model, "cpu"))
    return counted


def names(library: Library) -> dict[str, bool]:
    """Whether each sound of a library has vanished, by file name."""
    return {sound.path.name: sound.vanished for sound in library.store.all_sounds()}


def told(report: AddReport) -> tuple[int, int, int, int, int, int]:
    """Numbers of added, changed, unchanged, moved, vanished and skipped files."""
    counts = (report.moved, report.vanished, report.skipped)
    return report.added, report.changed, report.unchanged, *map(len, counts)  # type: ignore[return-value]


def later(path: Path) -> None:
    """Give a file another time of change."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def test_an_unchanged_file_is_not_read_again(library: Library, sounds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(library.add(sounds)) == (3, 0, 0, 0, 0, 0)
    monkeypatch.setattr("clapgen.library.adding.content_digest", lambda path: pytest.fail(f"{path} was read"))
    assert told(library.add(sounds)) == (0, 0, 3, 0, 0, 0)


def test_the_same_content_is_not_embedded_again(library: Library, sounds: Path, counted: Counted) -> None:
    library.add(sounds)
    before = counted.windows
    later(sounds / "a.wav")
    shutil.copy(sounds / "b.wav", sounds / "copy.wav")
    assert told(library.add(sounds)) == (1, 0, 3, 0, 0, 0)
    assert counted.windows == before
    rows = library.store.rows_of([sound.id for sound in library.store.all_sounds() if sound.path.name != "long.wav"])
    assert len(rows) == 3 and np.array_equal(rows.vectors[1], rows.vectors[2])


def test_a_changed_file_is_embedded_again(library: Library, sounds: Path, write: Write, counted: Counted) -> None:
    library.add(sounds)
    before, windows = {s.path: s.id for s in library.store.all_sounds()}, counted.windows
    write("sounds/a.wav", 0.4, seed=9)
    assert told(library.add(sounds)) == (0, 1, 2, 0, 0, 0)
    assert counted.windows == windows + 1
    assert {s.path: s.id for s in library.store.all_sounds()} == before  # it stays the same sound
    assert len(library.store.rows_of([before[sounds / "a.wav"]])) == 1


def test_moved_files_are_found_again(library: Library, sounds: Path, counted: Counted) -> None:
    library.add(sounds)
    ids = {sound.path.name: sound.id for sound in library.store.all_sounds()}
    before = counted.windows
    (sounds / "new").mkdir()
    (sounds / "a.wav").rename(sounds / "new" / "renamed.wav")
    report = library.add(sounds)
    assert told(report) == (0, 0, 2, 1, 0, 0)
    assert report.moved == [(sounds / "a.wav", sounds / "new" / "renamed.wav")]
    assert counted.windows == before
    assert {s.path.name: s.id for s in library.store.all_sounds()}["renamed.wav"] == ids["a.wav"]


def test_files_that_change_names_with_each_other_keep_their_vectors(library: Library, sounds: Path) -> None:
    library.add(sounds)

    def vectors() -> dict[str, list]:
        return {s.path.name: library.store.rows_of([s.id]).vectors.tolist() for s in library.store.all_sounds()}

    before = vectors()
    (sounds / "a.wav").rename(sounds / "c.wav")
    (sounds / "b.wav").rename(sounds / "a.wav")
    (sounds / "c.wav").rename(sounds / "b.wav")
    later(sounds / "a.wav")
    later(sounds / "b.wav")
    library.add(sounds)
    assert vectors() == {**before, "a.wav": before["b.wav"], "b.wav": before["a.wav"]}


def test_a_vanished_file_is_reported_not_found_and_may_come_back(library: Library, sounds: Path) -> None:
    library.add(sounds)
    (sounds / "a.wav").rename(sounds.parent / "away.wav")
    assert library.add(sounds).vanished == [sounds / "a.wav"]
    assert names(library) == {"a.wav": True, "b.wav": False, "long.wav": False}
    assert len(library) == 2
    assert {hit.path.name for hit in library.search("rain")} == {"b.wav", "long.wav"}
    (sounds.parent / "away.wav").rename(sounds / "a.wav")
    assert told(library.add(sounds)) == (0, 0, 3, 0, 0, 0)
    assert len(library) == 3


def test_removed_sounds_leave_their_files(library: Library, sounds: Path) -> None:
    library.add(sounds)
    (sounds / "b.wav").rename(sounds.parent / "b.wav")
    library.add(sounds)
    assert library.remove([sounds / "sub"]) == [sounds / "sub" / "long.wav"]
    assert library.remove(vanished=True) == [sounds / "b.wav"]
    assert names(library) == {"a.wav": False} and (sounds / "sub" / "long.wav").exists()
    assert sum(len(rows) for rows in library.store.rows()) == 1
    with pytest.raises(ClapgenError, match=r"has no sound at .*nowhere\.wav"):
        library.remove(["nowhere.wav"])


def test_unusable_files_are_named_and_the_others_added(library: Library, sounds: Path) -> None:
    (sounds / "broken.wav").write_bytes(b"RIFF no sound")
    (sounds / "empty.mp3").write_bytes(b"")
    (sounds / "broken again.wav").write_bytes(b"RIFF no sound")
    (sounds / "nowhere.wav").symlink_to("missing")
    os.mkfifo(sounds / "pipe.wav")
    report = library.add(sounds)
    assert told(report) == (3, 0, 0, 0, 0, 5)
    assert all(path.name in reason for path, reason in report.skipped if path.name != "broken again.wav")
    assert len(library) == 3


def test_links_in_a_circle_and_strange_names(library: Library, sounds: Path, write: Write) -> None:
    (sounds / "sub" / "up").symlink_to(sounds)
    raw = os.fsencode(sounds) + b"/caf\xe9.wav"
    os.rename(sounds / "a.wav", raw)
    assert told(library.add(sounds)) == (3, 0, 0, 0, 0, 0)
    assert told(library.add(sounds)) == (0, 0, 3, 0, 0, 0)
    assert os.fsdecode(raw) in [str(hit.path) for hit in library.search("rain")]


def test_a_million_other_files_do_not_matter(library: Library, sounds: Path) -> None:
    for number in range(2000):
        (sounds / f"{number}.xml").touch()
    report = library.add(sounds)
    assert told(report) == (3, 0, 0, 0, 0, 0)
    assert report.remarks == ["left out 2000 files that are not audio by suffix (2000 .xml)."]


def test_long_files_have_vectors_of_their_windows(library: Library, sounds: Path) -> None:
    library.add(sounds)
    [long] = [sound for sound in library.store.all_sounds() if sound.path.name == "long.wav"]
    rows = library.store.rows_of([long.id])
    assert np.isnan(rows.spans[0]).all()
    assert rows.spans[1:].tolist() == [[0, 1], [0.5, 1.5], [1, 2], [1.5, 2.5], [1.6, 2.6]]
    mean = rows.vectors[1:].astype(np.float32).mean(0)
    assert np.allclose(rows.vectors[0], mean / np.linalg.norm(mean), atol=1e-3)


def test_vectors_are_those_of_the_clap_and_cached(library: Library, sounds: Path, cache, tmp_path: Path) -> None:
    from clapgen.audio import read_audio

    library.add(sounds, cache)
    expected = library.clap.embed_audio([read_audio(sounds / "b.wav", library.clap.sample_rate)[0]], 8000)[0]
    [own] = [sound for sound in library.store.all_sounds() if sound.path.name == "b.wav"]
    assert np.allclose(library.store.rows_of([own.id]).vectors[0], expected, atol=1e-3)
    again = Library.open(tmp_path / "again", library._model, "cpu", create=True)
    again.__dict__["clap"] = counted = Counted(library.clap)
    again.add(sounds, cache)
    assert counted.windows == 0
    for a, b in zip(library.store.all_sounds(), again.store.all_sounds(), strict=True):
        assert (a.seconds, a.channels) == (b.seconds, b.channels)
        assert np.array_equal(library.store.rows_of([a.id]).vectors, again.store.rows_of([b.id]).vectors)


def test_a_run_that_is_interrupted_keeps_what_was_done(
    library: Library, sounds: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        write(f"sounds/n{number}.wav", 0.3, seed=10 + number)
    monkeypatch.setattr("clapgen.library.adding.FILES_PER_BATCH", 2)
    done = []

    def advance(count: int) -> None:
        done.append(count)
        if len(done) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.add(sounds, advance=advance)
    assert len(library) == 5
    assert told(library.add(sounds)) == (4, 0, 5, 0, 0, 0)


def test_a_library_and_its_sounds_can_be_moved_together(library: Library, sounds: Path, tmp_path: Path) -> None:
    library.add(sounds)
    library.close()
    target = tmp_path.parent / f"{tmp_path.name}-moved"
    shutil.copytree(tmp_path, target)
    moved = Library.open(target / "lib")
    assert {sound.path for sound in moved.store.all_sounds()} == {
        target / "sounds" / name for name in ("a.wav", "b.wav", "sub/long.wav")
    }


def test_silent_files_are_named(library: Library, tmp_path: Path) -> None:
    import soundfile

    soundfile.write(tmp_path / "nothing.wav", np.zeros(4000), 8000)
    assert library.add(tmp_path / "nothing.wav").silent == [(tmp_path / "nothing.wav", "digital silence")]
