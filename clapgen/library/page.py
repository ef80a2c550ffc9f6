"""What a search found as one HTML page that needs no network: players, spectrograms, times."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime

from clapgen.files import atomic_path
from clapgen.library.library import Hit
from clapgen.library.records import Moment
from clapgen.report.clip_cards import SECONDS, player_and_spectrogram
from clapgen.report.format import count, number
from clapgen.report.html import html_page
from clapgen.report.markup import Html, element, joined


def write_hits_page(
    hits: Sequence[Hit], query: str, library: str, path: str | os.PathLike[str], force: bool = False
) -> None:
    """Write the page; of each sound at most ten seconds can be played, from the start of its best part.

    Args:
        query: what was searched for, in words.
        library: where.

    Raises:
        ClapgenError: the file exists (and not `force`) or cannot be written.
    """
    date = datetime.now().astimezone().isoformat(timespec="minutes")
    head = element(
        "header",
        element("p", "clapgen search", class_="kind"),
        element("h1", query),
        element("p", f"{date} · {count(len(hits), 'sound')} of {library}", class_="facts"),
    )
    cards = element("div", *(_card(rank, hit) for rank, hit in enumerate(hits, 1)), class_="ends")
    with atomic_path(path, force) as temporary:
        page = html_page(f"{query}: sounds", joined(head, element("section", cards)))
        temporary.write_text(page, encoding="utf-8", newline="\n")


def _card(rank: int, hit: Hit) -> Html:
    about = hit.about
    start = hit.moments[0].start if hit.moments and hit.sound.seconds > SECONDS else 0.0
    facts = [
        ("at", ", ".join(map(_time, hit.moments)) if hit.moments else None),
        ("caption", " · ".join(about.captions[:3])),
        ("tags", ", ".join(about.tags)),
        ("category", about.category),
        ("licence", about.licence),
        ("author", about.author),
        ("format", f"{hit.sound.sample_rate / 1000:g} kHz, {count(hit.sound.channels, 'channel')}"),
        ("file", str(hit.path)),
    ]
    return element(
        "article",
        element("h4", f"{rank}. ", element("b", number(hit.score)), " ", element("span", hit.path.name)),
        player_and_spectrogram(hit.path, start) or element("p", "The file is gone.", class_="remark"),
        element("dl", *(joined(element("dt", name), element("dd", value)) for name, value in facts if value)),
        class_="clip",
    )


def _time(moment: Moment) -> str:
    return f"{moment.start:.1f}–{moment.end:.1f} s ({number(moment.score)})"
