"""A classifier of sounds that shares nothing with the CLAP: the second judge of generated sound."""

from clapgen.tagger.model import Tagger, TaggerConfig

__all__ = ["Tagger", "TaggerConfig"]
