"""Captions for training: from labels where there are none, one of several, and joined for mixtures."""

import logging
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Generator

from clapgen.data.manifest import Clip
from clapgen.data.splits import class_of, some
from clapgen.data.text import DEFAULT_TEMPLATE
from clapgen.errors import ClapgenError
from clapgen.wording.grammar import join_labels, lower_first, with_article

logger = logging.getLogger(__name__)
T = TypeVar("T")

# The first is the prompt of zero-shot evaluation (LAION-CLAP); the others keep the text tower from overfitting to it.
TEMPLATES = (
    DEFAULT_TEMPLATE,
    "The sound of {label}.",
    "{label}",
    "{label} can be heard.",
    "A recording of {label}.",
    "{a_label} sound.",
    "The sound of {label} can be heard.",
)
CONNECTIVES = ("and", "while", "as")


def caption_from_labels(labels: Sequence[str], generator: Generator | None = None) -> str:
    """A sentence about the labels, from a random template, or from the first of `TEMPLATES` without a generator.

    Raises:
        ClapgenError: all labels are empty.
    """
    label = join_labels(labels)
    if not label:
        raise ClapgenError("a clip without captions needs at least one label")
    template = pick(TEMPLATES, generator)
    sentence = template.format(label=label, a_label=with_article(label))
    return sentence[0].upper() + sentence[1:]


def true_names(clip: Clip, class_field: str = "") -> list[str]:
    """The names that are true of a clip: its class, if `class_field` of its manifest line has one, then its labels."""
    name = class_of(clip, class_field).replace("_", " ")
    return list(dict.fromkeys([*([name] if name else []), *clip.labels]))


def clips_with_text(clips: Sequence[Clip]) -> list[Clip]:
    """The clips that `choose_caption` has a sentence for; the others are named in a warning.

    Raises:
        ClapgenError: there are none.
    """
    has_text = [bool(any(map(str.strip, clip.captions)) or join_labels(clip.labels)) for clip in clips]
    chosen = [clip for clip, has in zip(clips, has_text, strict=True) if has]
    without = [str(clip.path) for clip, has in zip(clips, has_text, strict=True) if not has]
    if not chosen:
        raise ClapgenError(f"no clip has captions or labels to train on: {some(without)}; add them to the manifest")
    if without:
        logger.warning("%d clips have neither captions nor labels and were skipped: %s", len(without), some(without))
    return chosen


def choose_caption(clip: Clip, generator: Generator | None = None) -> str:
    """A random caption of the clip (the first without a generator), or a sentence from its labels if it has none.

    Raises:
        ClapgenError: the clip has neither captions nor labels (it is named).
    """
    captions = [caption for caption in clip.captions if caption.strip()]
    if captions:
        return pick(captions, generator).strip()
    try:
        return caption_from_labels(clip.labels, generator)
    except ClapgenError as error:
        raise ClapgenError(f"{clip.path} has neither captions nor labels; give it one in the manifest") from error


def join_captions(first: str, second: str, generator: Generator | None = None) -> str:
    """The caption of a mixture: "A dog barks." with "Rain falls." -> "A dog barks while rain falls."

    The connective is random, or "and" without a generator.
    """
    connective = pick(CONNECTIVES, generator)
    return f"{first.strip().rstrip('.!?;, ')} {connective} {lower_first(second.strip())}"


def pick(items: Sequence[T], generator: Generator | None = None) -> T:
    """A random one of several, or the first without a generator."""
    return items[0 if generator is None else int(torch.randint(len(items), (), generator=generator))]
