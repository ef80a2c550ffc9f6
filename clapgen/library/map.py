"""A map of a library: sounds as points on a page, near to each other if they sound alike, each with a player."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt

from clapgen.errors import ClapgenError
from clapgen.files import atomic_path
from clapgen.library.library import Library
from clapgen.library.records import Sound
from clapgen.report.clip_cards import player_and_spectrogram
from clapgen.report.format import count
from clapgen.report.html import html_page
from clapgen.report.markup import Html, element, joined

SIDE, RADIUS = 1000, 9  # of the drawing, in its own units
_COLOURS = 10  # tags that get a colour of their own
# A point is a link to its card, which is shown only while it is the target: no scripts are needed.
_STYLE = Html(
    ".map { width: 100%; height: auto; border: 1px solid var(--hair); background: var(--track); }"
    ".map a circle { stroke: var(--paper); stroke-width: 1.5; cursor: pointer; }"
    ".map a:hover circle { stroke: var(--ink); stroke-width: 3; }"
    ".cards .clip { display: none; } .cards .clip:target { display: block; }"
)


def layout(vectors: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], str]:
    """Positions (n, 2) from 0 to 1 of vectors (n, dim), and the name of the method.

    t-SNE (van der Maaten and Hinton 2008) where scikit-learn is installed and there are sounds enough, else the first
    two principal components. The same vectors give the same positions.
    """
    centred = vectors - vectors.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])  # of a component are arbitrary
    components = centred @ (axes * signs[:, None]).T
    method = "the first two principal components"
    places = np.zeros((len(vectors), 2))
    places[:, : min(2, components.shape[1])] = components[:, :2]
    if len(vectors) >= 30 and importlib.util.find_spec("sklearn") is not None:
        from sklearn.manifold import TSNE

        start = places / max(float(places[:, 0].std()), 1e-9) * 1e-4
        near = TSNE(init=start, perplexity=min(30.0, len(vectors) / 5), random_state=0, method="exact")
        places, method = near.fit_transform(components[:, :50]), "t-SNE"
    low, size = places.min(0), float(np.ptp(places, axis=0).max())
    return (places - low) / (size if size > 0 else 1.0), method


def write_map(
    library: Library,
    path: str | os.PathLike[str],
    sounds: int = 300,
    force: bool = False,
    update: Callable[[int], None] = lambda done: None,
) -> int:
    """Write the page; it needs no network and runs no scripts. Returns how many sounds are on it.

    Args:
        sounds: at most so many, from all over the library.
        update: called with the number of sounds drawn so far.

    Raises:
        ClapgenError: fewer than 2 sounds can be found, the file exists (and not `force`) or cannot be written.
    """
    rows = library.store.sample(sounds)
    shown = {sound.id: sound for sound in library.store.sounds(rows.sounds.tolist())}
    if len(shown) < 2:
        raise ClapgenError(f"the library {library.store.location} has fewer than 2 sounds to draw a map of.")
    places, method = layout(rows.vectors.astype(np.float32))
    colours = _colours(list(shown.values()))
    points, cards = [], []
    for done, (id, place) in enumerate(zip(rows.sounds.tolist(), places, strict=True), 1):
        sound = shown[id]
        points.append(_point(sound, place, colours))
        cards.append(_card(sound))
        update(done)
    head = element(
        "header",
        element("p", "clapgen library map", class_="kind"),
        element("h1", library.store.location),
        element("p", f"{datetime.now():%Y-%m-%d} · {count(len(points), 'sound')} of {len(library)}", class_="facts"),
    )
    space = 2 * RADIUS
    drawing = element("svg", *points, class_="map", viewBox=f"{-space} {-space} {SIDE + 2 * space} {SIDE + 2 * space}")
    note = element("p", f"Placed by {method}. Choose a point to hear its sound below.")
    body = joined(
        element("style", _STYLE), head, element("section", drawing, note), _legend(colours),
        element("section", *cards, class_="cards"),
    )  # fmt: skip
    with atomic_path(path, force) as temporary:
        temporary.write_text(html_page(f"{library.store.location}: map", body), encoding="utf-8", newline="\n")
    return len(points)


def _colours(sounds: Sequence[Sound]) -> dict[str, str]:
    """The most frequent tags and their colours."""
    counts: dict[str, int] = {}
    for sound in sounds:
        if tag := _tag(sound):
            counts[tag] = counts.get(tag, 0) + 1
    frequent = sorted(counts, key=lambda tag: (-counts[tag], tag))[:_COLOURS]
    return {tag: f"hsl({360 * index // _COLOURS} 60% 50%)" for index, tag in enumerate(frequent)}


def _tag(sound: Sound) -> str:
    return sound.description.category or next(iter(sound.description.tags), "")


def _point(sound: Sound, place: npt.NDArray[np.float64], colours: dict[str, str]) -> Html:
    about = sound.description
    title = element("title", about.captions[0] if about.captions else about.name or sound.path.stem)
    x, y = (f"{SIDE * value:.1f}" for value in place)
    colour = colours.get(_tag(sound), "var(--muted)")
    return element("a", element("circle", title, cx=x, cy=y, r=RADIUS, fill=colour), href=f"#s{sound.id}")


def _card(sound: Sound) -> Html:
    about = sound.description
    facts = (
        ("caption", " · ".join(about.captions[:3])), ("tags", ", ".join(about.tags)), ("licence", about.licence),
        ("author", about.author), ("file", str(sound.path)),
    )  # fmt: skip
    return element(
        "article",
        element("h4", element("b", sound.path.name)),
        player_and_spectrogram(sound.path) or element("p", "The file is gone.", class_="remark"),
        element("dl", *(joined(element("dt", name), element("dd", value)) for name, value in facts if value)),
        id=f"s{sound.id}",
        class_="clip",
    )


def _legend(colours: dict[str, str]) -> Html | None:
    if not colours:
        return None
    marks = [
        joined(element("span", "● ", style=f"color: {colour}"), f"{tag} \u2003") for tag, colour in colours.items()
    ]
    return element("p", *marks)
