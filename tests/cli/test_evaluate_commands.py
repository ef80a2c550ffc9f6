"""`clapgen evaluate retrieval | zero-shot | captions | compose`: values of the metrics; errors name bad input."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import soundfile
from command_line import Result, assert_one_line

from clapgen.audio import read_audio
from clapgen.clap import Clap
from clapgen.metrics.captions.scores import caption_scores
from clapgen.metrics.embeddings.composition import composition_scores, composition_similarity
from clapgen.metrics.embeddings.composition_items import CompositionItem
from clapgen.metrics.embeddings.retrieval import retrieval, retrieval_by_scores
from clapgen.metrics.embeddings.robustness import paraphrase_robustness
from clapgen.metrics.embeddings.segments import segment_scores
from clapgen.metrics.embeddings.zero_shot import prompt_embeddings, zero_shot
from clapgen.testing import SAMPLE_RATE
from clapgen.wording.misspelling import misspell

Command = Callable[..., Result]
LABELS = ("rain", "church_bells", "dog", "wind", "rooster", "glass")


@pytest.fixture(scope="module")
def clap(model: Path) -> Clap:
    return Clap.from_pretrained(model)


@pytest.fixture
def manifest(here: Path) -> Path:
    """Twelve clips of six classes; those of "val" have two captions each."""
    rng = np.random.default_rng(0)
    lines = []
    (here / "audio").mkdir()
    for index in range(12):
        time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
        tone = np.sin(2 * np.pi * rng.uniform(60, 2000) * time) * (
            0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(1, 9) * time)
        )
        soundfile.write(f"audio/{index}.wav", 0.3 * tone + 0.01 * rng.standard_normal(len(time)), SAMPLE_RATE)
        label = LABELS[index % 6]
        line: dict[str, Any] = {"path": f"audio/{index}.wav", "labels": [label], "class": label, "split": "val"}
        line["captions"] = [f"a {label} is heard", f"{label} number {index}"]
        lines.append(line)
    lines[11] |= {"split": "train"}
    Path("manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Path("manifest.jsonl")


@pytest.fixture
def evaluate(clapgen: Command, model: Path) -> Command:
    return lambda *arguments: clapgen("evaluate", *arguments, "--model", model, "--cache", "kept")


def metrics(result: Result) -> dict[str, Any]:
    assert result.code == 0, result
    [report] = result.json
    return {metric["name"]: metric for metric in report["metrics"]}


def embedded(clap: Clap, indices: range | list[int]) -> np.ndarray:
    return clap.embed_audio([read_audio(f"audio/{index}.wav")[0] for index in indices], SAMPLE_RATE).numpy()


def table(path: str, columns: list[str], rows: list[list[str]]) -> str:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def test_retrieval_is_the_metric(evaluate: Command, manifest: Path, clap: Clap) -> None:
    result = evaluate("retrieval", manifest, "--split", "val", "--json")
    found = metrics(result)
    captions = [text for i in range(11) for text in (f"a {LABELS[i % 6]} is heard", f"{LABELS[i % 6]} number {i}")]
    owners = np.repeat(np.arange(11), 2)
    expected = retrieval(embedded(clap, range(11)), clap.embed_text(captions), owners)
    for way, ranks in (("text to audio", expected.text_to_audio), ("audio to text", expected.audio_to_text)):
        for k in (1, 5, 10):
            assert found[f"{way} R@{k}"]["value"] == pytest.approx(ranks.recalls[k])
        assert found[f"{way} median rank"]["value"] == ranks.median_rank
        assert found[f"{way} mAP@10"]["value"] == pytest.approx(ranks.mean_average_precision)
    same = retrieval(embedded(clap, range(11)), clap.embed_text(captions), owners, captions=captions)
    assert found["text to audio R@1, identical captions"]["value"] == pytest.approx(same.text_to_audio.recalls[1])
    assert "chance 0.0909" in found["text to audio R@1"]["note"]  # 1 of 11 clips
    assert "chance 0.0909" in found["audio to text R@1"]["note"]  # 2 of 22 captions
    assert "chance 0.7143" in found["audio to text R@10"]["note"]  # 1 - (12 · 11) / (22 · 21)
    clips = result.json[0]["clips"]
    assert [clip["rank of its best caption"] for clip in clips] == expected.audio_to_text.ranks.tolist()
    assert evaluate("retrieval", manifest, "--split", "val", "--json").json[0]["metrics"] == result.json[0]["metrics"]


def test_retrieval_with_paraphrases(evaluate: Command, manifest: Path, clap: Clap) -> None:
    rows = [[f"{label} number {i}", f"it sounds like {label}"] for i, label in enumerate(LABELS)]
    table("other.csv", ["caption", "paraphrase"], rows)
    found = metrics(evaluate("retrieval", manifest, "--paraphrases", "other.csv", "--json", "--strict"))
    text, other = (clap.embed_text([row[side] for row in rows]) for side in (0, 1))
    expected = paraphrase_robustness(embedded(clap, range(12)), text, other, np.arange(6))
    assert found["caption–paraphrase cosine"]["value"] == pytest.approx(expected.cosine, abs=1e-5)
    for name, value in expected.paraphrased.as_dict().items():
        if name.startswith("text_to_audio/R@"):
            key = f"text to audio {name.partition('/')[2]}, paraphrased"
            assert found[key]["value"] == pytest.approx(value)
            assert found[key]["n"] == 6
    table("unknown.csv", ["caption", "paraphrase"], [*rows, ["nobody said this", "or this"]])
    arguments = ("retrieval", manifest, "--paraphrases", "unknown.csv")
    assert "nobody said this" in " ".join(evaluate(*arguments, "--json").json[0]["warnings"])
    assert_one_line(evaluate(*arguments, "--strict"), "nobody said this")
    table("empty.csv", ["caption", "paraphrase"], [["nobody said this", "or this"]])
    assert_one_line(evaluate("retrieval", manifest, "--paraphrases", "empty.csv"), "nobody said this")


def test_retrieval_over_the_windows_of_long_clips(evaluate: Command, manifest: Path, clap: Clap) -> None:
    usual = metrics(evaluate("retrieval", manifest, "--json"))
    assert metrics(evaluate("retrieval", manifest, "--segments", "--json")) == usual  # each clip is one window
    long = np.concatenate([read_audio(f"audio/{index}.wav")[0] for index in range(4)])
    soundfile.write("audio/0.wav", long, SAMPLE_RATE)
    result = evaluate("retrieval", manifest, "--segments", "--json")
    assert "attention over 18 windows" in result.json[0]["settings"]["similarity"]
    windows = [long[start : start + SAMPLE_RATE] for start in range(0, 3 * SAMPLE_RATE + 1, SAMPLE_RATE // 2)]
    segments = [clap.embed_audio(windows, SAMPLE_RATE).numpy()] + [embedded(clap, [i]) for i in range(1, 12)]
    captions = [text for i in range(12) for text in (f"a {LABELS[i % 6]} is heard", f"{LABELS[i % 6]} number {i}")]
    expected = retrieval_by_scores(segment_scores(segments, clap.embed_text(captions)), np.repeat(np.arange(12), 2))
    ranks = [clip["rank of its best caption"] for clip in result.json[0]["clips"]]
    assert ranks == expected.audio_to_text.ranks.tolist()
    table("other.csv", ["caption", "paraphrase"], [["a", "b"]])
    wrong = evaluate("retrieval", manifest, "--segments", "--paraphrases", "other.csv")
    assert_one_line(wrong, "--segments", "--paraphrases")


def test_retrieval_without_captions(evaluate: Command, manifest: Path) -> None:
    assert_one_line(evaluate("retrieval", manifest, "--split", "test"), "'test'", "train, val")
    assert_one_line(evaluate("retrieval", "audio"), "no captions")
    assert_one_line(evaluate("retrieval", "missing.jsonl"), "missing.jsonl")
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join([*lines, lines[0]]))
    assert_one_line(evaluate("retrieval", manifest), "audio/0.wav", "2 times")


def test_retrieval_with_held_out_paraphrases(evaluate: Command, manifest: Path) -> None:
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    for line, caption in zip(lines, ["A dog barks", "Rain", "Someone closes a door"] * 4, strict=True):
        line["captions"] = [caption]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = metrics(evaluate("retrieval", manifest, "--paraphrases", "held-out", "--json"))
    assert found["caption–paraphrase cosine"]["value"] < 1
    recall = found["text to audio R@10, paraphrased"]
    low, high = recall["interval"]
    assert low <= recall["value"] <= high and "drop" in recall["note"] and " to " in recall["note"]
    for line in lines:
        line["captions"] = ["Xyzzy was plugh"]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert_one_line(evaluate("retrieval", manifest, "--paraphrases", "held-out"), "--paraphrases FILE.csv")


def test_zero_shot_is_the_metric(evaluate: Command, manifest: Path, clap: Clap) -> None:
    templates = ["the sound of {label}", "{label}!"]
    options = [argument for template in templates for argument in ("--template", template)]
    result = evaluate("zero-shot", manifest, "--label-field", "class", *options, "--json")
    found = metrics(result)
    names = sorted(label.replace("_", " ") for label in LABELS)
    truth = [names.index(LABELS[i % 6].replace("_", " ")) for i in range(12)]
    expected = zero_shot(embedded(clap, range(12)), prompt_embeddings(clap.embed_text, names, templates), truth, names)
    assert found["accuracy"]["value"] == pytest.approx(expected.top1)
    assert found["accuracy among the first 5"]["value"] == pytest.approx(expected.top5)
    [report] = result.json
    assert report["confusion"] == {"labels": names, "counts": expected.confusion.tolist()}
    assert [row["class"] for row in report["classes"]] == names
    assert [clip["rank"] for clip in report["clips"]] == expected.ranks.tolist()
    by_labels = metrics(evaluate("zero-shot", manifest, *options, "--json"))
    assert by_labels == found


def test_zero_shot_in_other_languages_uses_translated_prompts(evaluate: Command, manifest: Path, clap: Clap) -> None:
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    for line in lines:
        line["class"] = line["class"].replace("glass", "glass_breaking")
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = evaluate("zero-shot", manifest, "--label-field", "class", "--language", "de", "--json")
    found, [report] = metrics(result), result.json
    words = ["Kirchenglocken", "Hund", "zerbrechendes Glas", "Regen", "Hahn", "Wind"]
    names = ["church bells", "dog", "glass breaking", "rain", "rooster", "wind"]
    truth = [names.index(line["class"].replace("_", " ")) for line in lines]
    prompts = prompt_embeddings(clap.embed_text, words, ["Geräusch: {label}"])
    assert found["accuracy"]["value"] == pytest.approx(zero_shot(embedded(clap, range(12)), prompts, truth, names).top1)
    assert report["confusion"]["labels"] == names
    others = ["Glockengeläut", "Hundegebell", "Klirren von Scherben", "Regenschauer", "Kikeriki", "Windböen"]
    prompts = prompt_embeddings(clap.embed_text, others, ["Geräusch: {label}"])
    expected = zero_shot(embedded(clap, range(12)), prompts, truth, names).top1
    assert found["accuracy, held-out wordings"]["value"] == pytest.approx(expected)
    assert_one_line(evaluate("zero-shot", manifest, "--label-field", "class", "--language", "it"), "'it'", "German")
    lines[0]["class"] = "florble"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert_one_line(evaluate("zero-shot", manifest, "--label-field", "class", "--language", "fr"), "florble", "French")


def test_zero_shot_with_misspelt_prompts(evaluate: Command, manifest: Path, clap: Clap) -> None:
    names = sorted(label.replace("_", " ") for label in LABELS)
    random = Random(7)
    words = [misspell(name, random) for name in names]
    assert words != names
    truth = [names.index(LABELS[i % 6].replace("_", " ")) for i in range(12)]
    found = metrics(evaluate("zero-shot", manifest, "--label-field", "class", "--misspelt", "--seed", "7", "--json"))
    expected = zero_shot(embedded(clap, range(12)), prompt_embeddings(clap.embed_text, words), truth, names)
    assert found["accuracy"]["value"] == pytest.approx(expected.top1)
    assert "; ".join(words) in evaluate("zero-shot", manifest, "--label-field", "class", "--misspelt", "--seed", 7).out


def test_zero_shot_with_several_labels_is_tagging(evaluate: Command, manifest: Path) -> None:
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    lines[0]["labels"].append("wind")
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = evaluate("zero-shot", manifest, "--json")
    found = metrics(result)
    assert list(found) == ["mAP", "mAP@10 of the labels of a clip", "accuracy of the first label"]
    assert 0 < found["mAP"]["value"] <= 1
    counts = {row["class"]: row["n"] for row in result.json[0]["classes"]}
    assert counts == {"church bells": 2, "dog": 2, "glass": 2, "rain": 2, "rooster": 2, "wind": 3}
    drawn = evaluate("zero-shot", manifest, "--json", "--confusion", "confusion.png")
    assert drawn.code == 2 and "have no confusion matrix" in drawn.err and drawn.json[0]["metrics"]


def test_the_confusion_matrix_is_drawn_and_replaces_nothing(evaluate: Command, manifest: Path) -> None:
    options = ("zero-shot", manifest, "--label-field", "class", "--confusion", "confusion.png")
    assert evaluate(*options).code == 0
    picture = Path("confusion.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 2000
    assert_one_line(evaluate(*options), "confusion.png already exists")
    assert evaluate(*options, "--force").code == 0


def test_esc50_has_an_accuracy_per_fold(evaluate: Command, manifest: Path) -> None:
    Path("esc/meta").mkdir(parents=True)
    Path("audio").rename("esc/audio")
    rows = [[f"{i}.wav", str(i % 5 + 1), LABELS[i % 6], "1"] for i in range(13)]
    table("esc/meta/esc50.csv", ["filename", "fold", "category", "src_file"], rows)
    result = evaluate("zero-shot", "esc", "--json")
    found = metrics(result)
    folds = [found[f"accuracy of fold {fold}"] for fold in range(1, 6)]
    assert [fold["n"] for fold in folds] == [3, 3, 2, 2, 2]
    assert found["mean accuracy of folds"]["value"] == pytest.approx(np.mean([fold["value"] for fold in folds]))
    assert [item["path"] for item in result.json[0]["skipped"]] == ["12.wav"]
    assert_one_line(evaluate("zero-shot", "esc/audio"), "not ESC-50")
    assert "ESC-50" in result.json[0]["settings"]["classes"]
    assert_one_line(evaluate("zero-shot", "esc", "--label-field", "class"), "--label-field", "esc")
    assert_one_line(evaluate("zero-shot", "esc", "--strict"), "12.wav")


def test_zero_shot_needs_classes(evaluate: Command, manifest: Path) -> None:
    assert_one_line(evaluate("zero-shot", manifest, "--label-field", "clas"), "'class'", "--label-field")
    assert_one_line(evaluate("zero-shot", manifest, "--labels", "rain,wind"), "church bells")
    assert_one_line(evaluate("zero-shot", manifest, "--template", "a sound"), "{label}")
    wide = metrics(evaluate("zero-shot", manifest, "--labels", ",".join([*LABELS, "frog"]), "--json"))
    assert "0.1429" in wide["accuracy"]["note"]


def test_captions_are_scored_against_references_and_sounds(
    evaluate: Command, clapgen: Command, manifest: Path, clap: Clap
) -> None:
    rows = [[f"{i}.wav", "a dog is heard" if i % 2 else "rain", f"a {LABELS[i]} is heard", LABELS[i]] for i in range(6)]
    table("captions.csv", ["file_name", "caption_predicted", "caption_1", "labels"], rows)
    result = clapgen("evaluate", "captions", "captions.csv", "--json")
    found = metrics(result)
    expected = caption_scores([row[1] for row in rows], [[row[2]] for row in rows])
    for name, value in expected.corpus.items():
        assert found[name.replace("_", " ")]["value"] == pytest.approx(value)
    assert found["keyword accuracy"]["value"] == pytest.approx(1 / 6)  # rain
    assert [clip["CIDEr-D"] for clip in result.json[0]["clips"]] == pytest.approx(expected.clips["CIDEr-D"])
    assert "CLAP score of captions" not in found
    with_audio = metrics(evaluate("captions", "captions.csv", "--audio", "audio", "--json"))
    text = clap.embed_text([row[1] for row in rows]).numpy()
    expected_score = float((embedded(clap, range(6)) * text).sum(1).mean())
    assert with_audio["CLAP score of captions"]["value"] == pytest.approx(expected_score, abs=1e-5)
    assert with_audio["CIDEr-D"] == found["CIDEr-D"]


def test_a_cache_folder_that_cannot_be_created_costs_a_warning(
    clapgen: Command, manifest: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAPGEN_CACHE", "manifest.jsonl")
    result = clapgen("evaluate", "retrieval", manifest, "--model", model, "--json")
    assert metrics(result)["text to audio R@1"]["n"] == 24
    assert "not cached" in result.err
    assert clapgen("evaluate", "retrieval", manifest, "--model", model, "--json", "--no-cache").err == ""
    assert_one_line(clapgen("evaluate", "retrieval", manifest, "--model", model, "--cache", manifest), "cache folder")


def test_captions_that_cannot_be_scored(evaluate: Command, clapgen: Command, here: Path) -> None:
    table("captions.csv", ["file_name", "caption_predicted"], [["a.wav", "rain"]])
    assert_one_line(clapgen("evaluate", "captions", "captions.csv"), "captions.csv:2", "references")
    table("captions.csv", ["file_name", "captions_predicted", "caption_1"], [["a.wav", "rain", "rain"]])
    assert_one_line(clapgen("evaluate", "captions", "captions.csv"), "caption_predicted")
    table("captions.csv", ["file_name", "caption_predicted", "caption_1"], [["a.wav", "rain", "it rains"]])
    found = metrics(clapgen("evaluate", "captions", "captions.csv", "--json"))
    assert found["CIDEr-D"]["value"] is None
    assert found["BLEU-1"]["value"] > 0
    assert_one_line(clapgen("evaluate", "captions", "captions.csv", "--aac-python", "x"), "--aac-metrics")
    table("labelled.csv", ["file_name", "caption_predicted", "labels"], [["a.wav", "rain", "rain"]])
    assert_one_line(clapgen("evaluate", "captions", "labelled.csv", "--aac-metrics", "spice"), "references")
    assert_one_line(clapgen("evaluate", "captions", "captions.csv", "--aac-metrics", "spices"), "spice")
    assert_one_line(evaluate("captions", "captions.csv", "--audio", "audio"), "audio does not exist")


def test_pairs_are_scored_like_compa(evaluate: Command, manifest: Path, clap: Clap) -> None:
    rows = [
        [f"audio/{i}.wav", f"rain, then {LABELS[i]}", f"audio/{i + 1}.wav", f"{LABELS[i]}, then rain"] for i in range(5)
    ]
    table("pairs.csv", ["audio_0", "caption_0", "audio_1", "caption_1"], rows)
    result = evaluate("compose", "--pairs", "pairs.csv", "--json")
    audio = embedded(clap, [index for i in range(5) for index in (i, i + 1)])
    text = clap.embed_text([row[side] for row in rows for side in (1, 3)]).numpy()
    expected = composition_scores(composition_similarity(audio, text))
    found = metrics(result)
    for name in ("text", "audio", "group"):
        assert found[f"pairs: {name} score"]["value"] == pytest.approx(getattr(expected, name))
    assert [clip["text"] for clip in result.json[0]["clips"]] == expected.correct[:, 0].astype(int).tolist()


def test_order_and_overlap_tests_are_composed_from_any_labelled_clips(evaluate: Command, manifest: Path) -> None:
    arguments = ("compose", manifest, "--items", 6, "--json")
    first, again = evaluate(*arguments), evaluate(*arguments)
    assert first.json[0]["metrics"] == again.json[0]["metrics"]
    found = metrics(first)
    for kind in ("order", "overlap, one exchanged", "overlap, one added"):
        assert found[f"{kind}: group score"]["n"] == 6
    captions = {clip["caption"] for clip in first.json[0]["clips"]}
    assert any("then" in caption for caption in captions)
    assert any("church bells" in caption for caption in captions)
    other = evaluate(*arguments, "--seed", 1).json[0]["clips"]
    assert [clip["caption"] for clip in other] != [clip["caption"] for clip in first.json[0]["clips"]]


def test_composed_sounds_are_cached(
    evaluate: Command, clapgen: Command, manifest: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("compose", manifest, "--items", 6, "--json")
    first = evaluate(*arguments).json[0]
    fresh = clapgen("evaluate", *arguments, "--model", model, "--no-cache").json[0]
    monkeypatch.setattr(CompositionItem, "waveforms", None)
    assert evaluate(*arguments).json[0]["clips"] == first["clips"]
    for kept, made in zip(first["clips"], fresh["clips"], strict=True):
        assert kept["caption"] == made["caption"]
        assert kept["margin"] == pytest.approx(made["margin"], abs=1e-6)


def test_silent_clips_are_named_and_not_used(evaluate: Command, manifest: Path) -> None:
    soundfile.write("audio/3.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    [report] = evaluate("compose", manifest, "--items", 6, "--json").json
    [skipped] = report["skipped"]
    assert Path(skipped["path"]).name == "3.wav"
    assert skipped["reason"] == "is silent"
    used = {Path(str(clip[column])).stem for clip in report["clips"] for column in ("path", "second sound")}
    assert used
    assert used <= {str(index) for index in range(12) if index != 3}


def test_entailment_uses_thresholds_of_other_pairs(evaluate: Command, manifest: Path) -> None:
    labels = ("entailment", "neutral", "contradiction")
    columns = ["path", "hypothesis", "label"]
    for name, start in (("dev.csv", 0), ("test.csv", 6)):
        rows = [[f"audio/{start + i}.wav", f"a {LABELS[i]} is heard", labels[i % 3]] for i in range(6)]
        table(name, columns, rows)
    result = evaluate("compose", "--entailment", "test.csv", "--entailment-dev", "dev.csv", "--json")
    found = metrics(result)
    assert found["entailment: accuracy"]["n"] == 6
    counts = np.array(result.json[0]["confusion"]["counts"])
    assert counts.sum() == 6
    assert found["entailment: accuracy"]["value"] == pytest.approx(np.trace(counts) / 6)
    assert "dev.csv" in result.json[0]["settings"]["entailment thresholds"]
    assert result.json[0]["warnings"] == []
    clips = result.json[0]["clips"]
    assert [clip["label"] for clip in clips] == [labels[i % 3] for i in range(6)]
    assert sum(clip["margin"] >= 0 for clip in clips) == np.trace(counts)
    own = ("compose", "--entailment", "dev.csv", "--entailment-dev", "dev.csv")
    assert "6 of 6 pairs of dev.csv are also in dev.csv" in evaluate(*own, "--json").json[0]["warnings"][0]
    assert_one_line(evaluate(*own, "--strict"), "dev.csv")


def test_compositions_that_cannot_be_evaluated(evaluate: Command, manifest: Path) -> None:
    assert_one_line(evaluate("compose"), "nothing to evaluate")
    assert_one_line(evaluate("compose", "--pairs", "pairs.csv", "--split", "val"), "--split")
    assert_one_line(evaluate("compose", "--entailment", "test.csv"), "--entailment-dev")
    assert_one_line(evaluate("compose", manifest, "--label-field", "nothing"), "'nothing'")
    table("pairs.csv", ["audio_0", "caption_0", "audio_1", "captoin_1"], [["audio/0.wav", "a", "audio/1.wav", "b"]])
    assert_one_line(evaluate("compose", "--pairs", "pairs.csv"), "'caption_1'", "captoin_1")
    table("pairs.csv", ["audio_0", "caption_0", "audio_1", "caption_1"], [["audio/0.wav", "a", "audio/99.wav", "b"]])
    assert_one_line(evaluate("compose", "--pairs", "pairs.csv"), "no pair")
    assert_one_line(evaluate("compose", "--pairs", "pairs.csv", "--strict"), "99.wav")


def test_captions_find_their_sounds_by_name_and_only_those_of_the_folder_are_on_the_page(
    evaluate: Command, manifest: Path, here: Path
) -> None:
    Path("audio/3.wav").rename("audio/ typical neighborhood.wav")
    Path("audio/4.wav").rename("outside.wav")
    rows = [["0", "rain", "it rains"], [" typical neighborhood.wav", "wind", "a wind"], ["2.wav ", "dog", "a dog"]]
    columns = ["file_name", "caption_predicted", "caption_1"]
    table("captions.csv", columns, [*rows, [str(here / "outside.wav"), "rooster", "a rooster"]])
    result = evaluate("captions", "captions.csv", "--audio", "audio", "--html", "page.html", "--json")
    assert metrics(result)["CLAP score of captions"]["n"] == 4
    assert "outside.wav" in result.err and "cannot be played" in result.err
    assert Path("page.html").read_text().count("<audio") == 3
    table("other.csv", columns, [["outside.wav", "rooster", "a rooster"], ["audio/0.wav", "rain", "rain"]])
    assert evaluate("captions", "other.csv", "--html", "other.html").code == 0
    assert "<audio" not in Path("other.html").read_text()


def test_pairs_name_files_with_their_spaces(evaluate: Command, manifest: Path) -> None:
    Path("audio/3.wav").rename("audio/ typical neighborhood.wav")
    rows = [["audio/ typical neighborhood.wav", "wind", "audio/0.wav ", "rain"]]
    pairs = table("pairs.csv", ["audio_0", "caption_0", "audio_1", "caption_1"], rows)
    result = evaluate("compose", "--pairs", pairs, "--html", "page.html", "--json")
    assert metrics(result)["pairs: accuracy"]["n"] == 1
    assert "<audio" not in Path("page.html").read_text()


def test_captions_that_are_cut_are_counted(evaluate: Command, manifest: Path, clap: Clap) -> None:
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    for line in lines[:3]:
        line["captions"][1] = " ".join([f"{line['captions'][0]} number {line['path']}"] * 20)
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    [warning] = evaluate("retrieval", manifest, "--json").json[0]["warnings"]
    texts = len({caption for line in lines for caption in line["captions"]})
    assert warning.startswith(f"3 of {texts} texts are longer than the {clap.max_tokens} tokens")
    assert evaluate("retrieval", manifest, "--split", "train", "--json").json[0]["warnings"] == []


def test_a_manifest_may_be_a_table(evaluate: Command, manifest: Path) -> None:
    clips = [json.loads(line) for line in manifest.read_text().splitlines()]
    rows = [[clip["path"], caption, clip["split"]] for clip in clips for caption in clip["captions"]]
    written = table("manifest.csv", ["path", "caption", "split"], rows)
    result = evaluate("retrieval", written, "--split", "val", "--json")
    expected = evaluate("retrieval", manifest, "--split", "val", "--json")
    assert metrics(result) == metrics(expected)
