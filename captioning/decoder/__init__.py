"""From an embedding to words: mapping network and causal language model."""

from captioning.decoder.config import DecoderConfig, Decoding
from captioning.decoder.model import CaptionDecoder, check_decoding
from captioning.decoder.vocabulary import Vocabulary, train_vocabulary

__all__ = ["CaptionDecoder", "DecoderConfig", "Decoding", "Vocabulary", "check_decoding", "train_vocabulary"]
