"""The worst and the best clips of a report, to listen to: player, spectrogram and the row of each."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from clapgen.audio import duration_of, read_audio, write_audio
from clapgen.errors import ClapgenError
from clapgen.evaluation.markup import Html, data_uri, element, joined
from clapgen.evaluation.report import Row
from clapgen.evaluation.wording import number
from clapgen.plot import spectrogram_strip

MOST = 5  # clips of each end
SECONDS = 10.0  # of each clip


def ends(ranked: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """At most `MOST` worst and best of clips that are sorted worst first; none is in both, and the extremes lead."""
    worst = list(ranked[: min(MOST, (len(ranked) + 1) // 2)])
    return worst, list(reversed(ranked[max(len(worst), len(ranked) - MOST) :]))


def clip_card(row: Row, column: str, audio: bool) -> Html:
    """One clip: the number it is ranked by, its name, its sound and the rest of its row."""
    path = Path(str(row.get("path", "")))
    heading = element("h4", element("b", number(row[column])), " ", element("span", path.name, title=str(path)))
    rest = [(name, value) for name, value in row.items() if name not in ("path", column) and value not in (None, "")]
    facts = [joined(element("dt", name), element("dd", number(value))) for name, value in rest]
    return element(
        "article", heading, _sound(path) if audio else None, element("dl", *facts) if facts else None, class_="clip"
    )


def _sound(path: Path) -> Html | None:
    """Player and spectrogram; a remark if the file is damaged; nothing if there is none of that name."""
    if not path.is_file():
        return None
    try:
        waveform, sample_rate = read_audio(path, duration=SECONDS)
        length = duration_of(path)
        with tempfile.TemporaryDirectory() as folder:
            opus, picture = Path(folder, "clip.opus"), Path(folder, "clip.png")
            write_audio(opus, waveform, sample_rate)
            spectrogram_strip(waveform, sample_rate, picture)
            sources = data_uri(opus, "audio/ogg"), data_uri(picture, "image/png")
    except ClapgenError as error:
        return element("p", f"Cannot be played: {error}", class_="remark")
    shown = f"{length:.1f} s" if length <= SECONDS else f"the first {SECONDS:.0f} s of {length:.1f} s"
    reach = f"{shown}, 40 Hz to {sample_rate / 2000:g} kHz"
    return joined(
        element("img", src=sources[1], alt=f"Spectrogram: {reach}", width=480, height=140),
        element("audio", src=sources[0], controls=True, preload="metadata", aria_label=f"Play {path.name}"),
        element("p", reach, class_="remark"),
    )
