"""From one embedding to a caption: mapping network and causal language model."""

from captioning.decoder.config import DecoderConfig
from captioning.decoder.model import CaptionDecoder
from captioning.decoder.vocabulary import Vocabulary, train_vocabulary

__all__ = ["CaptionDecoder", "DecoderConfig", "Vocabulary", "train_vocabulary"]
