"""The tagger: it learns what sounds differ in, is an embedder, and judges generated sounds."""

import json

import numpy as np
import pytest
import soundfile
import torch

from clapgen.clap import Clap
from clapgen.embedders import load_embedder
from clapgen.errors import ClapgenError
from clapgen.evaluation.context import EvaluationContext
from clapgen.evaluation.generation.evaluate import evaluate_generation
from clapgen.tagger import Tagger, TaggerConfig
from clapgen.tagger.model import top_k
from clapgen.testing import tiny_model
from pretrain.tagger import TaggerRecipe, TaggerTask, run

RATE = 8000
KINDS = ("low hum", "high beep", "hiss")


def sound(kind: str, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    time = np.arange(RATE) / RATE
    if kind == "hiss":
        return 0.1 * random.standard_normal(RATE).astype(np.float32)
    frequency = random.uniform(100, 200) if kind == "low hum" else random.uniform(1500, 2500)
    return (0.2 * np.sin(2 * np.pi * frequency * time + seed)).astype(np.float32)


def corpus(folder, count: int, split: str, first: int = 0) -> list[dict]:
    lines = []
    for kind in KINDS:
        for number in range(first, first + count):
            path = folder / f"{split}-{kind}-{number}.wav"
            soundfile.write(path, sound(kind, number), RATE)
            labels = [kind, "noise"] if kind == "hiss" else [kind]
            lines.append({"path": str(path), "labels": labels, "kind": kind, "split": split})
    return lines


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagger")
    lines = corpus(folder, 6, "train") + corpus(folder, 3, "val", first=100)
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    sizes = ["sample_rate=8000", "window_seconds=1.0", "n_fft=512", "hop_length=160", "n_mels=32", "f_max=4000.0"]
    settings = [f"tagger.{size}" for size in sizes] + ["tagger.widths=[8,16]", "tagger.dim=16", "tagger.dropout=0"]
    metrics = run(
        None,
        [
            f"manifest={folder / 'manifest.jsonl'}", f"cache={folder / 'cache'}", "class_field=kind", *settings,
            f"training.output={folder / 'run'}", "training.steps=60", "training.batch_size=12",
            "training.learning_rate=0.01", "training.warmup_steps=5", "training.ema_decay=0.5",
            "training.precision=no", "augment.time_width=5", "augment.frequency_width=4",
        ],
    )  # fmt: skip
    return folder, metrics


def test_it_tells_held_out_sounds_apart(trained):
    folder, metrics = trained
    assert metrics["top_1"] >= 8 / 9
    tagger = Tagger.from_pretrained(folder / "run" / "model")
    assert set(tagger.labels) == {*KINDS, "noise"}
    heard = tagger.logits(tagger.embed_audio([sound(kind, 200) for kind in KINDS], RATE), KINDS).argmax(1)
    assert heard.tolist() == [0, 1, 2]


def test_scores_of_a_long_sound_are_the_mean_of_its_windows(trained):
    tagger = Tagger.from_pretrained(trained[0] / "run" / "model")
    long = np.concatenate([sound("low hum", 1), sound("hiss", 2), sound("high beep", 3)])
    windows = [long[start : start + RATE] for start in range(0, 2 * RATE + 1, RATE // 2)]
    mean = torch.cat([tagger.logits(tagger.embed_audio([window], RATE)) for window in windows]).mean(0)
    assert torch.allclose(tagger.logits(tagger.embed_audio([long], RATE))[0], mean, atol=1e-4)


def test_it_is_an_embedder_by_name(trained):
    folder = trained[0] / "run" / "model"
    embedder = load_embedder(f"tagger:{folder}")
    assert embedder.hash and embedder.embed_audio([sound("hiss", 0)], RATE).shape == (1, 16)


def test_labels_that_may_be_true_do_not_compete(trained):
    folder, _ = trained
    recipe = TaggerRecipe(manifest=str(folder / "manifest.jsonl"), cache=str(folder / "cache"), class_field="kind")
    recipe.tagger = TaggerConfig(**{**vars(recipe.tagger), "sample_rate": RATE, "f_max": 4000.0})
    task = TaggerTask(recipe)
    drawn = task.rows.draw(0, 12, True, torch.Generator().manual_seed(0))
    truth, rivals = task._labels(drawn.rows)
    assert torch.allclose(truth.sum(1), torch.ones(12)) and not (rivals & (truth > 0)).any()
    names = task.names.names
    for row, weights in zip(drawn.rows, truth, strict=True):
        if len(row.clips) == 1 and row.clips[0].labels[0] == "hiss":
            assert weights[names.index("hiss")] == weights[names.index("noise")] == 0.5


def test_it_judges_generated_sounds(trained, tmp_path):
    folder = trained[0]
    generated, wrong = tmp_path / "good.jsonl", tmp_path / "wrong.jsonl"
    lines = corpus(tmp_path, 4, "made", first=300)
    generated.write_text("\n".join(json.dumps({**line, "labels": [line["kind"]]}) for line in lines))
    turned = dict(zip(KINDS, KINDS[1:] + KINDS[:1], strict=True))
    wrong.write_text("\n".join(json.dumps({**line, "labels": [turned[line["kind"]]]}) for line in lines))
    context = EvaluationContext(Clap.from_pretrained(tiny_model(tmp_path / "model")))
    tagger = Tagger.from_pretrained(folder / "run" / "model")

    def judge(manifest):
        report = evaluate_generation(manifest, context, reference=folder / "manifest.jsonl", split="val", tagger=tagger)
        return {metric.name: metric.value for metric in report.metrics}

    right, turned_round = judge(generated), judge(wrong)
    assert right["Tagger top-1, generated"] >= 11 / 12 and turned_round["Tagger top-1, generated"] <= 1 / 12
    assert right["FAD by the tagger"] == pytest.approx(turned_round["FAD by the tagger"])


def test_top_k_counts_ties_against_the_label():
    logits = torch.tensor([[1.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    assert top_k(logits, [0, 1], 1).tolist() == [False, False]
    assert top_k(logits, [0, 1], 2).tolist() == [True, True]


def test_an_unknown_label_is_named(trained):
    tagger = Tagger.from_pretrained(trained[0] / "run" / "model")
    with pytest.raises(ClapgenError, match="was not trained on 'dog'"):
        tagger.logits(torch.zeros(1, 16), ["Low_Hum", "dog"])


def test_a_folder_without_a_tagger_says_how_to_make_one(tmp_path):
    with pytest.raises(ClapgenError, match="clapgen train tagger"):
        Tagger.from_pretrained(tiny_model(tmp_path / "model"))


def test_one_label_is_refused(tmp_path):
    line = next(line for line in corpus(tmp_path, 1, "train") if line["kind"] == "low hum")
    (tmp_path / "m.jsonl").write_text(json.dumps(line))
    with pytest.raises(ClapgenError, match="fewer than 2 labels"):
        TaggerTask(TaggerRecipe(manifest=str(tmp_path / "m.jsonl"), class_field="kind"))
