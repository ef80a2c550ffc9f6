"""A library of sounds, searched by text and by sound with the embeddings of a CLAP."""

from clapgen.library.library import Hit, Library
from clapgen.library.records import Description, Moment, Selection, Sound

__all__ = ["Description", "Hit", "Library", "Moment", "Selection", "Sound"]
