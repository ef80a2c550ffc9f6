"""Codecs: sound as a few rows of whole numbers, and back; for token models."""

from clapgen.codecs.base import Codec, Codes
from clapgen.codecs.loading import load_codec

__all__ = ["Codec", "Codes", "load_codec"]
