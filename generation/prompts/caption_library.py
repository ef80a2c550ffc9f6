"""The captions that a model was trained on, kept with its diffusion network as `diffusion/captions.txt`, one a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from clapgen.data.manifest import Clip, training_clips
from clapgen.data.sentences import read_sentences, tidy
from clapgen.data.text import decode_text
from clapgen.errors import ClapgenError
from clapgen.model_store import Model, open_model, read_part_file, resolve_model, save_part_file

PART, FILE_NAME = "diffusion", "captions.txt"


def captions_of_model(model: Model) -> list[str]:
    """The captions in a model folder.

    Raises:
        ClapgenError: it has none, or the file is damaged.
    """
    folder = open_model(model)
    content = read_part_file(folder, PART, FILE_NAME)
    if content is None:
        raise ClapgenError(
            f"the model {folder.name} has no captions to edit prompts with; give some with --exemplars FILE, or add "
            f"those that it was trained on: clapgen models captions {folder.name} --manifest FILE."
        )
    captions = [line for line in decode_text(content, str(folder.path / PART / FILE_NAME)).splitlines() if line]
    if not captions:
        raise ClapgenError(f"{folder.path / PART / FILE_NAME} is empty; write it again with `clapgen models captions`.")
    return captions


def captions_from_file(path: str | Path) -> list[str]:
    """The distinct sentences of a manifest, a table or a text file; of those with a split, the ones for training.

    Raises:
        ClapgenError: as `clapgen.data.sentences.read_sentences`.
    """
    return read_sentences(path).texts


def captions_of_manifest(
    manifest: str | Path, split: str = "train", free_only: bool = True, exclude_copyleft: Sequence[str] = ()
) -> list[str]:
    """The distinct captions of the training clips in a manifest, in its order.

    Args:
        free_only: leave out clips that are marked as not free; clips without a mark count as free.

    Raises:
        ClapgenError: the manifest cannot be read, or there are none.
    """
    clips = training_clips(manifest, split, exclude_copyleft=exclude_copyleft)
    captions = distinct_captions([clip for clip in clips if clip.free is not False or not free_only])
    if not captions:
        raise ClapgenError(
            f"{manifest} has no captions of clips to train on" + (" that are free." if free_only else ".")
        )
    return captions


def distinct_captions(clips: Iterable[Clip]) -> list[str]:
    """The captions of clips, tidied, each once."""
    return list(dict.fromkeys(tidied for clip in clips for text in clip.captions if (tidied := tidy(text))))


def save_captions(model: str | Path, captions: Sequence[str]) -> Path:
    """Write the captions into a model folder and record their checksum; returns the file.

    Raises:
        ClapgenError: the model has no diffusion network, or its folder cannot be written to.
    """
    return save_part_file(resolve_model(model), PART, FILE_NAME, ("\n".join(captions) + "\n").encode())
