"""`clapgen generate --max-similarity`: sounds that are new, compared with those of a library."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clapgen.cli.console import print_warning
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from clapgen.library import Library
    from generation.generator import Generator
    from generation.rendering import SavedClip
    from generation.requests import GenerationRequest

    Render = Callable[[list[GenerationRequest], Generator], Iterator[SavedClip]]

MOST_TRIES = 1000

MaxSimilarityOption = Annotated[
    float | None,
    typer.Option(
        "--max-similarity",
        help="Reject sounds whose CLAP cosine with a sound of --library is above this, 0 to 1, or that are the same "
        "recording; other seeds are tried. \\[default: no limit]",
    ),
]
TriesOption = Annotated[
    int | None,
    typer.Option("--tries", help="With --max-similarity: how often to generate each sound, 1 to 1000. \\[default: 8]"),
]


@dataclass(frozen=True)
class Novelty:
    """What the sounds of a run must differ from, and how much."""

    library: Library
    max_similarity: float
    tries: int

    @property
    def identity(self) -> dict[str, Any]:
        """What it adds to the identity of the generator, by which finished sounds are known."""
        from generation.novelty import novelty_plan

        return novelty_plan(self.library, self.max_similarity, self.tries)

    def render(
        self, requests: Sequence[GenerationRequest], generator: Generator, render: Render
    ) -> Iterator[SavedClip]:
        """The sounds that are new, one after another; rejected ones are announced.

        Raises:
            ClapgenError: at the end, if there were requests for which no new sound was found.
        """
        from clapgen.cli.cache import open_cache
        from generation.novelty import NoveltyGuard, TooSimilarError

        guard = NoveltyGuard(generator, self.library, self.max_similarity, self.tries, open_cache(None), print_warning)
        failed: list[TooSimilarError] = []
        for request in requests:
            try:
                yield from render([request], guard)
            except TooSimilarError as error:
                failed.append(error)
        if failed:
            count = f"{len(failed)} of {len(requests)} sounds were not written. " if len(requests) > 1 else ""
            raise ClapgenError(f"{count}{failed[0]}")


def open_novelty(library: str | None, max_similarity: float | None, tries: int | None, device: str) -> Novelty | None:
    """What --max-similarity asks for; None without it.

    Raises:
        ClapgenError: an option is out of its range or needs another; the library is missing or empty.
    """
    if max_similarity is None:
        if tries is not None:
            raise ClapgenError("--tries needs --max-similarity.")
        return None
    from generation.novelty import USUAL_TRIES

    if not 0 < max_similarity <= 1:
        raise ClapgenError(f"--max-similarity must be above 0 and at most 1, not {max_similarity:g}.")
    tries = USUAL_TRIES if tries is None else tries
    if not 1 <= tries <= MOST_TRIES:
        raise ClapgenError(f"--tries must be 1 to {MOST_TRIES}, not {tries}.")
    if library is None:
        raise ClapgenError(
            "--max-similarity needs --library, the sounds to stay away from; a model does not contain its training "
            "clips. `clapgen library add LIBRARY FOLDER` makes one."
        )
    from clapgen.library import Library

    opened = Library.open(library, device=device)
    if not len(opened):
        raise ClapgenError(f"the library {opened.store.location} is empty; there is nothing to differ from.")
    return Novelty(opened, max_similarity, tries)
