"""A causal language model that rewrites prompts in the context of captions, after Zhang et al. 2023."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from clapgen.data.sentences import tidy
from clapgen.embedders.public import SAFELY, no_progress_bars
from clapgen.errors import ClapgenError
from clapgen.metrics.captions.words import tokenize
from clapgen.wording.meaning import content_words

SENTENCES = 8  # beams, and rewritings of one prompt
LONGEST = 40  # tokens of a rewriting
UNLIMITED = 1024  # tokens, of a language model that names no limit


class LanguageModelRewriter:
    """Callable for `PromptEditor`: continues a list of "Words: … / Caption: …" with the words of the prompt.

    The exemplars are the captions nearest to the prompt, the nearest last, as many as fit in front of it; their words
    are those that carry meaning. Beam search makes it deterministic.

    Args:
        name_or_path: a folder that transformers' `save_pretrained` wrote, or a model of the Hugging Face hub. Only
            safetensors are read, and no code in it is run.

    Raises:
        ClapgenError: it cannot be loaded.
    """

    def __init__(self, name_or_path: str, device: str | torch.device = "cpu") -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if Path(name_or_path).expanduser().is_dir():
            name_or_path = str(Path(name_or_path).expanduser())
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(name_or_path, trust_remote_code=False)
            load: Any = AutoModelForCausalLM.from_pretrained
            with no_progress_bars():
                self._network = load(name_or_path, **SAFELY).to(device).eval()
        except (OSError, ValueError, KeyError, RuntimeError, ImportError, AttributeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ClapgenError(
                f"the rewriter {name_or_path} cannot be loaded: {reason} Give the folder (or hub name) of a causal "
                "language model with config.json, a tokenizer and model.safetensors."
            ) from error
        limit = getattr(self._network.config, "max_position_embeddings", None) or UNLIMITED
        self._room = min(limit, UNLIMITED * 4) - LONGEST  # tokens
        if self._room < 1:
            raise ClapgenError(f"the rewriter {name_or_path} reads only {limit} tokens; give one that reads more.")

    def __call__(self, prompt: str, captions: Sequence[str]) -> list[str]:
        """Rewritings of a prompt, the most probable first; none if the prompt alone is longer than the model reads."""
        context = self.context(prompt, captions)
        ids = self._tokenizer(context, return_tensors="pt").input_ids.to(self._network.device)
        if ids.shape[1] > self._room:
            return []
        with torch.no_grad():
            found = self._network.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=LONGEST,
                num_beams=SENTENCES,
                num_return_sequences=SENTENCES,
                do_sample=False,
                pad_token_id=self._tokenizer.pad_token_id or self._network.config.eos_token_id or 0,
            )
        texts = self._tokenizer.batch_decode(found[:, ids.shape[1] :], skip_special_tokens=True)
        lines = (tidy(text.strip().split("\n", maxsplit=1)[0]) for text in texts)
        return list(dict.fromkeys(line for line in lines if line and line.isprintable()))

    def context(self, prompt: str, captions: Sequence[str]) -> str:
        """What the language model is to continue."""
        text = f"Words: {prompt}\nCaption:"
        for caption in captions:
            longer = f"Words: {_keywords(caption)}\nCaption: {caption}\n\n{text}"
            if len(self._tokenizer(longer).input_ids) > self._room:
                break
            text = longer
        return text


def _keywords(caption: str) -> str:
    said = content_words(caption)
    words = [word for word in dict.fromkeys(tokenize(caption)) if content_words(word) & said]
    return " ".join(words)
