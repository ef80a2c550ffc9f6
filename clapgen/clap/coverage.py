"""Which words of a prompt the text tower does not know: other languages, misspellings, rare words.

A byte-level tokenizer cuts any text into tokens, so nothing fails on German or Japanese; the embedding is merely
meaningless. Words that were common in the training captions are one token, words that were not are cut into pieces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tokenizers import Tokenizer

SHARE_OF_UNKNOWN = 0.3  # of a prompt's words; 0.4% of Clotho's held-out captions reach it, and 0.04% of AudioCaps'


def unknown_words(prompt: str, tokenizer: Tokenizer) -> list[str]:
    """The words of a prompt that the tokenizer cuts into pieces, in order; empty if the prompt is well covered.

    A prompt is well covered if fewer than 30% of its words are cut.
    """
    words = re.findall(r"[^\W\d_]+", prompt)
    cut = [word for word in words if _is_cut(word, tokenizer)]
    return cut if words and len(cut) / len(words) >= SHARE_OF_UNKNOWN else []


def coverage_warning(prompt: str, tokenizer: Tokenizer) -> str:
    """One sentence on a prompt that the text tower hardly understands; empty if it is well covered."""
    words = unknown_words(prompt, tokenizer)
    if not words:
        return ""
    return (
        f"the text model was trained on English captions and does not know {_listed(words)} in '{prompt[:60]}'; "
        "the result may have little to do with the text."
    )


def _listed(words: Sequence[str]) -> str:
    shown = [f"'{word}'" for word in dict.fromkeys(words)][:4]
    return ", ".join(shown) + (", …" if len(set(words)) > len(shown) else "")


def _is_cut(word: str, tokenizer: Tokenizer) -> bool:
    return len(tokenizer.encode(word).tokens) > 1 and len(tokenizer.encode(f"a {word}").tokens) > 2
