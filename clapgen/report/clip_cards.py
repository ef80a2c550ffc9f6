"""The worst and best clips of a report, each with player, spectrogram and its row of the table."""

import os
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from clapgen.audio import AUDIO_SUFFIXES, rate_and_duration_of, read_audio, write_audio
from clapgen.errors import ClapgenError
from clapgen.plot import spectrogram_strip
from clapgen.report.format import number
from clapgen.report.markup import Html, data_uri, element, joined
from clapgen.report.model import Row

MOST = 5  # worst clips, and as many best clips
SECONDS = 10.0  # of each clip that can be played
_MOST_COMPANIONS = 2  # other sounds per clip, such as its reference and the nearest training clip


def ends(ranked: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """At most `MOST` worst and `MOST` best clips of a list sorted worst first; no clip is in both."""
    worst = list(ranked[: min(MOST, (len(ranked) + 1) // 2)])
    return worst, list(reversed(ranked[max(len(worst), len(ranked) - MOST) :]))


def foreign_sounds(ranked: Sequence[Row], sounds: Collection[str]) -> list[str]:
    """The sound files named by the clips of `ends` that are not among `sounds`."""
    named = (value for rows in ends(ranked) for row in rows for value in row.values() if _is_sound(value))
    return [value for value in dict.fromkeys(map(str, named)) if value not in sounds]


def clip_card(row: Row, column: str, sounds: Collection[str] | None) -> Html:
    """One clip: the number it is ranked by, its name, its sound and the rest of its row.

    Cells that name other sound files (a reference, the nearest training clip) get players too, for comparison.

    Args:
        sounds: the files that may be played. A cell of a table may name any file of the computer, and a page is passed
            on. None for a card without players.
    """
    sounds = () if sounds is None else sounds
    path = Path(str(row.get("path", "")))
    heading = element("h4", element("b", number(row[column])), " ", element("span", path.name, title=str(path)))
    rest = [(name, value) for name, value in row.items() if name not in ("path", column) and value not in (None, "")]
    playable = dict.fromkeys(str(value) for _, value in rest if value in sounds and _is_sound(value))
    companions = list(playable)[:_MOST_COMPANIONS]
    facts = []
    for name, value in rest:
        facts.append(joined(element("dt", name), element("dd", *_cell(value, value in companions))))
        companions = [other for other in companions if other != value]  # a file in two cells gets one player
    return element(
        "article",
        heading,
        player_and_spectrogram(path) if row.get("path") in sounds else None,
        element("dl", *facts) if facts else None,
        class_="clip",
    )


def _cell(value: object, playable: bool) -> list[Html | str]:
    if not _is_sound(value):
        return [number(value)]
    path = Path(str(value))
    name = element("span", path.name, title=str(path))
    try:
        return [name, _player(*read_audio(path, duration=SECONDS), path)] if playable else [name]
    except ClapgenError:
        return [name]


def _is_sound(value: object) -> bool:
    return isinstance(value, str) and Path(value).suffix.lower() in AUDIO_SUFFIXES and os.path.isfile(value)


def player_and_spectrogram(path: Path, start: float = 0.0) -> Html | None:
    """Of at most `SECONDS` from `start` on; a note if the file is broken; None if it does not exist."""
    if not os.path.isfile(path):  # Path.is_file raises for invalid names
        return None
    try:
        waveform, sample_rate = read_audio(path, start=start, duration=SECONDS)
        _, length = rate_and_duration_of(path)
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder, "clip.png")
            spectrogram_strip(waveform, sample_rate, picture)
            source = data_uri(picture, "image/png")
        player = _player(waveform, sample_rate, path)
    except ClapgenError as error:
        return element("p", f"Cannot be played: {error}", class_="remark")
    part = f"{SECONDS:.0f} s from {start:.1f} s" if start else f"the first {SECONDS:.0f} s"
    shown = f"{length:.1f} s" if length <= SECONDS else f"{part} of {length:.1f} s"
    reach = f"{shown}, 40 Hz to {sample_rate / 2000:g} kHz"
    return joined(
        element("img", src=source, alt=f"Spectrogram: {reach}", width=480, height=140),
        player,
        element("p", reach, class_="remark"),
    )


def _player(waveform: np.ndarray, sample_rate: int, path: Path) -> Html:
    with tempfile.TemporaryDirectory() as folder:
        opus = Path(folder, "clip.opus")
        write_audio(opus, waveform, sample_rate)
        source = data_uri(opus, "audio/ogg")
    return element("audio", src=source, controls=True, preload="metadata", aria_label=f"Play {path.name}")
