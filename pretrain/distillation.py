"""Distillation of a sentence encoder into the text tower, before any audio is used or to widen what it understands.

The captions of a few thousand clips cannot teach a text tower that a hound is a dog; a sentence encoder already knows.
The teacher embeds the clean English sentence; the tower may be given it misspelt, in other words or in another
language.
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

from clapgen.clap import Clap
from clapgen.clap.config import TextTowerConfig
from clapgen.clap.tokenizer import load_tokenizer, save_tokenizer, tokenize, train_tokenizer
from clapgen.clap.towers import TextTower, create_text_tower
from clapgen.configuration import load_config
from clapgen.data.manifest import training_clips
from clapgen.data.text import json_lines
from clapgen.errors import ClapgenError
from clapgen.files import atomic_path
from clapgen.model_store import WEIGHTS_FILE, fill_module, load_part, save_part, weights_hash
from clapgen.training.loop import to_device, train
from clapgen.training.provenance import describe_texts, hold_out, stored_asset
from clapgen.training.seeds import seeded
from clapgen.training.task import Task, TrainingConfig, weight_decay_groups
from clapgen.wording.languages import LANGUAGES, has_held_out, prompts, translate, translations
from pretrain.data.captions import true_names
from pretrain.data.paraphrase import paraphrases, typo
from pretrain.sentence_teachers import SENTENCE_TEACHERS, teacher_words

START = "start"  # the teacher that is the model itself, as it was at the start
FITTED_ON = 4096  # texts: the projection to a teacher's space starts from their least squares


@dataclass
class TextRecipe:
    """Training texts, teacher and sizes of the text tower.

    `texts` are JSON Lines files of {"caption", "name"?, "split"?}; lines with a split that is not in `text_splits` are
    skipped. `manifest` adds the captions and labels of its training clips. `word_templates` turn labels, and the words
    the teacher knows, into sentences. `validation_share` is the share of texts held out.

    `teacher` is a name of `SENTENCE_TEACHERS` (minilm-l6, paraphrase-l3, use-multilingual), or "start": the model of
    `start_from` as it was, so that English sentences stay where they are and other wordings move to them.
    `start_from` is a folder with a text tower (`clapgen train text`), or a model whose CLAP is trained further on its
    text side; the CLAP is then part of the result, with its audio side unchanged. The teacher "start" of a CLAP teaches
    its text embeddings, through its projection, which is frozen.

    The shares are of the rows of a batch, 0 to 1. `translation_share`: prompts in German, French and Spanish for the
    labels of `clapgen/wording/translations.tsv`. `paraphrase_share`: sentences in other words
    (`pretrain.data.paraphrase`). `typo_share`: sentences with a misspelt word, in any language. All learn the teacher's
    embedding of the clean English sentence.
    """

    manifest: str = ""
    free_only: bool = True
    class_field: str = "esc50_class"
    texts: list[str] = field(default_factory=list)
    text_splits: list[str] = field(default_factory=lambda: ["train", "ontology"])
    word_templates: list[str] = field(default_factory=lambda: ["{}", "This is a sound of {}.", "the sound of {}"])
    validation_share: float = 0.01
    teacher: str = "minilm-l6"
    start_from: str = ""
    translation_share: float = 0.0
    paraphrase_share: float = 0.0
    typo_share: float = 0.0
    text: TextTowerConfig = field(default_factory=TextTowerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


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
        _check(recipe)
        texts = collect_texts(recipe)
        if not texts:
            free = " (with free_only=false it also uses clips that are not free)" if recipe.free_only else ""
            raise ClapgenError(f"the recipe has no sentences: set texts=[FILE.jsonl] or manifest=FILE{free}.")
        self.recipe, self.output = recipe, Path(recipe.training.output)
        words = teacher_words()
        named = translations() if recipe.translation_share else ()
        self.foreign = [pair for name in named for code in LANGUAGES for pair in prompts(name, code)]
        more = {template.format(word) for word in words for template in recipe.word_templates}
        self.texts = texts + sorted((more | {english for _, english in self.foreign}) - set(texts))
        number = {text: i for i, text in enumerate(self.texts)}
        self._create_model([*texts, *words, *(foreign for foreign, _ in self.foreign)])
        self.targets = self._targets()
        self.validation, training = hold_out(texts, recipe.validation_share)
        held_out = set(self.validation)
        pairs = [(foreign, number[english]) for foreign, english in self.foreign]
        self.pairs = [pair for pair in pairs if pair[1] not in held_out]
        self.training = training + list(range(len(texts), len(self.texts)))
        lengths = {i: len(self.tokenizer.encode(self.texts[i]).ids) for i in self.training}
        self.training.sort(key=lambda i: (lengths[i], i))
        with seeded(recipe.training.seed):
            self.head = self._new_head()

    def _create_model(self, vocabulary: Sequence[str]) -> None:
        recipe = self.recipe
        known = stored_asset(self.output, "tokenizer")
        saved = Tokenizer.from_str(known) if known else None
        self.clap: Clap | None = None
        self.origin: dict[str, str] = {"teacher": recipe.teacher}
        folder = Path(recipe.start_from)
        if recipe.start_from and (folder / "text").is_dir() and not (folder / "clap").is_dir():
            self.tower, recipe.text, self.tokenizer = load_text_tower(folder)
            self.origin["start_from"] = weights_hash(folder, "text")
        elif recipe.start_from:
            self.clap = Clap.from_pretrained(recipe.start_from)
            self.tower, recipe.text, self.tokenizer = self.clap.text_tower, self.clap.config.text, self.clap.tokenizer
            self.origin["start_from"] = self.clap.hash
        else:
            self.tokenizer = saved or train_tokenizer(vocabulary, recipe.text.vocab_size)
            with seeded(recipe.training.seed):
                self.tower = create_text_tower(recipe.text)

    def _targets(self) -> Tensor:
        described = "\n".join([*self.origin.values(), *self.texts])
        key = hashlib.sha256(described.encode(errors="surrogatepass")).hexdigest()[:12]
        path = self.output / f"targets-{key}.safetensors"
        if not path.exists():
            with atomic_path(path, overwrite=True) as temporary:
                save_file({"targets": self._taught().half()}, temporary)
        return load_file(path)["targets"]

    def _taught(self) -> Tensor:
        """The teacher's embeddings of all texts."""
        if self.recipe.teacher != START:
            taught: Tensor = SENTENCE_TEACHERS.create(self.recipe.teacher).embed(self.texts)
            return taught
        if self.clap is not None:
            return self.clap.embed_text(self.texts)
        return F.normalize(self._features(self.texts), dim=-1)

    @torch.no_grad()
    def _features(self, texts: Sequence[str]) -> Tensor:
        """The tower's features (n, width)."""
        was_training = self.tower.training
        parts = []
        for start in range(0, len(texts), 256):
            inputs = tokenize(self.tokenizer, texts[start : start + 256], self.recipe.text.max_tokens)
            parts.append(self.tower.eval()(*inputs))
        self.tower.train(was_training)
        return torch.cat(parts)

    def _new_head(self) -> nn.Module:
        """From the tower's features to the space of the teacher."""
        if self.recipe.teacher == START:
            return nn.Identity() if self.clap is None else self.clap.text_projection.requires_grad_(False)
        head = nn.Linear(self.recipe.text.width, self.targets.shape[1])
        if self.recipe.start_from:  # a random head would throw the tower off what it knows
            rows = self.training[:: max(1, len(self.training) // FITTED_ON)]
            features = self._features([self.texts[i] for i in rows])
            inputs = torch.cat([features, torch.ones(len(features), 1)], 1).double()
            ridge = 1e-3 * len(rows) * torch.eye(inputs.shape[1], dtype=torch.float64)
            fitted = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ self.targets[rows].double())
            with torch.no_grad():
                head.weight.copy_(fitted[:-1].T)
                head.bias.copy_(fitted[-1])
        return head

    def networks(self) -> dict[str, nn.Module]:
        return {"tower": self.tower, "head": self.head}

    def provenance(self) -> dict[str, Any]:
        foreign = {"translations": describe_texts([text for text, _ in self.foreign])} if self.foreign else {}
        return {"texts": describe_texts(self.texts), **foreign, **self.origin}

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
        return self._rows([self.training[(start + stride * row) % count] for row in range(size)], generator)

    def _rows(self, rows: list[int], generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """The texts of these numbers, with a generator in other wordings, and the targets of the clean ones."""
        texts = [self.texts[i] for i in rows]
        if generator is not None:
            texts, rows = self._varied(texts, list(rows), generator)
        tokens, mask = tokenize(self.tokenizer, texts, self.recipe.text.max_tokens)
        return {"tokens": tokens, "mask": mask, "target": self.targets[rows].float()}

    def _varied(self, texts: list[str], rows: list[int], generator: torch.Generator) -> tuple[list[str], list[int]]:
        recipe = self.recipe
        if not (recipe.translation_share or recipe.paraphrase_share or recipe.typo_share):
            return texts, rows
        chances = torch.rand((3, len(texts)), generator=generator).tolist()
        for i, (translation, paraphrase, misspelling) in enumerate(zip(*chances, strict=True)):
            if translation < recipe.translation_share:
                drawn = int(torch.randint(len(self.pairs), (), generator=generator))
                texts[i], rows[i] = self.pairs[drawn]
            elif paraphrase < recipe.paraphrase_share:
                texts[i] = paraphrases(texts[i], 1, generator)[0]
            if misspelling < recipe.typo_share:
                texts[i] = typo(texts[i], generator)
        return texts, rows

    def loss(self, batch: dict[str, Tensor], group: str, step: int) -> tuple[Tensor, dict[str, Any]]:
        student = F.normalize(self.head(self.tower(batch["tokens"], batch["mask"])).float(), dim=-1)
        return (1 - (student * batch["target"]).sum(-1)).mean(), {}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Mean cosine to the teacher, and the share of held-out texts nearest to their own teacher embedding.

        With translations, also the share of held-out wordings in each language that are nearest to the English name of
        their class of ESC-50.
        """
        device = next(self.tower.parameters()).device
        batch = to_device(self._rows(self.validation[:1000]), device)
        similarity = self._similarity(batch["tokens"], batch["mask"], batch["target"])
        metrics = {"teacher_cosine": float(similarity.diagonal().mean()), "teacher_retrieval": _hits(similarity)}
        if not self.pairs:
            return metrics
        names = [name for name in translations() if has_held_out(name)]
        names = list({translate(name, "de"): name for name in names}.values())  # one of those that mean the same
        targets = self.targets[[self.texts.index(name) for name in names]].float().to(device)
        for code in LANGUAGES:
            words = [translate(name, code, held_out=True) for name in names]
            tokens, mask = tokenize(self.tokenizer, words, self.recipe.text.max_tokens)
            metrics[f"held_out_words_{code}"] = _hits(self._similarity(tokens.to(device), mask.to(device), targets))
        return metrics

    def _similarity(self, tokens: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
        return F.normalize(self.head(self.tower(tokens, mask)), dim=-1) @ targets.T

    def export(self, directory: Path) -> None:
        save_tokenizer(self.tokenizer, directory / "text" / "tokenizer.json")
        save_part(directory, "text", self.recipe.text, self.tower)
        if self.clap is not None:
            self.clap.save_pretrained(directory)


def _hits(similarity: Tensor) -> float:
    """The share of rows whose largest value is on the diagonal."""
    return float((similarity.argmax(1) == torch.arange(len(similarity), device=similarity.device)).float().mean())


def _check(recipe: TextRecipe) -> None:
    for name in ("translation_share", "paraphrase_share", "typo_share"):
        if not 0 <= getattr(recipe, name) <= 1:
            raise ClapgenError(f"{name} is {getattr(recipe, name)}; it must be from 0 to 1.")
    if recipe.teacher != START:
        SENTENCE_TEACHERS.get(recipe.teacher)
    elif not recipe.start_from:
        raise ClapgenError(f"teacher={START} needs start_from: the model that teaches its own English.")


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
