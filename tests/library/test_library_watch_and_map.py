"""`library watch` follows a folder; `library map` draws what sounds alike near to each other."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from synthetic import clustered

from clapgen.errors import ClapgenError
from clapgen.library import Library
from clapgen.library.adding import AddReport
from clapgen.library.map import layout, write_map
from clapgen.library.watching import watch_library

Write = Callable[..., Path]


def test_a_watched_folder_is_followed(library: Library, sounds: Path, write: Write) -> None:
    library.add(sounds)
    away = sounds.parent / "away"
    steps = [
        lambda: None,  # nothing new: nothing is told
        lambda: write("sounds/new.wav", 0.3, seed=5),
        lambda: (sounds / "broken.wav").write_bytes(b"no sound"),
        lambda: None,  # it is told only once
        lambda: (sounds / "a.wav").unlink(),
        lambda: sounds.rename(away),  # a disk that is not connected: nothing vanishes
        lambda: away.rename(sounds),
        lambda: pytest.fail("enough"),
    ]
    remaining = iter(steps)
    seen: list[AddReport | str] = []
    watched = watch_library(library, sleep=lambda seconds: next(remaining)() and None)
    with pytest.raises(pytest.fail.Exception, match="enough"):
        seen.extend(watched)
    added, broken, gone = [report for report in seen if isinstance(report, AddReport)]
    assert added.added == 1 and [path.name for path, _ in broken.skipped] == ["broken.wav"]
    assert gone.vanished == [sounds / "a.wav"]
    assert len(library) == 3


def test_what_is_alike_is_near_on_the_map() -> None:
    vectors = clustered(60, 16, np.random.default_rng(0), clusters=3)
    groups = np.argmax(vectors @ (np.random.default_rng(7).normal(size=(3, 16)) + 1.0).T, axis=1)
    places, _ = layout(vectors)
    assert places.min() == 0 and places.max() == pytest.approx(1)
    assert np.array_equal(places, layout(vectors)[0])
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    same = groups[:, None] == groups[None]
    assert distances[same].mean() < 0.7 * distances[~same].mean()
    few, method = layout(vectors[:4])
    assert few.shape == (4, 2) and "principal" in method


def test_the_map_has_a_point_and_a_player_for_each_sound(library: Library, sounds: Path, tmp_path: Path) -> None:
    with pytest.raises(ClapgenError, match="fewer than 2 sounds"):
        write_map(library, tmp_path / "map.html")
    library.add(sounds)
    assert write_map(library, tmp_path / "map.html") == 3
    page = (tmp_path / "map.html").read_text()
    assert page.count("<circle") == page.count("<audio") == 3
    for sound in library.store.all_sounds():
        assert f'href="#s{sound.id}"' in page and f'id="s{sound.id}"' in page
    assert "<script" not in page and "://" not in page
