"""`clapgen evaluate generation`: its metrics are those of `clapgen.metrics`, and every problem is reported."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from command_line import Result, assert_one_line, finish, names, start

from clapgen.audio import read_audio, resample
from clapgen.clap import Clap
from clapgen.embedders import cache as embedding_cache
from clapgen.embedders import file_identity, register_embedder
from clapgen.metrics.embeddings.clap_score import clap_score
from clapgen.metrics.embeddings.fad import frechet_audio_distance
from clapgen.metrics.embeddings.kad import kernel_audio_distance
from clapgen.metrics.embeddings.prdc import precision_recall_density_coverage
from clapgen.testing import SAMPLE_RATE, tiny_model

Command = Callable[..., Result]
PROMPTS = ("rain on a tin roof", "a dog barks twice", "wind in the trees", "church bells")


def write_sound(path: Path, seed: int, seconds: float = 1.2, rate: int = SAMPLE_RATE) -> Path:
    """A few tones with an envelope: like no other seed's, silent nowhere, white nowhere."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    tones = sum(
        np.sin(2 * np.pi * f * time + p) for f, p in zip(rng.uniform(50, 1800, 4), rng.uniform(0, 6, 4), strict=True)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    envelope = 0.6 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.5, 5) * time)
    soundfile.write(path, 0.15 * envelope * tones + 0.003 * rng.standard_normal(len(time)), rate)
    return path


@pytest.fixture
def sounds(here: Path) -> Path:
    """Eight generated and eight reference sounds of the same names, and prompts of the former in another order."""
    for index in range(8):
        write_sound(here / "made" / f"{index}.wav", index)
        write_sound(here / "real" / f"{index}.flac", 100 + index)
    rows = [f"{index}.wav,{PROMPTS[index % 4]},{'rain' if index % 2 else 'dog'}" for index in reversed(range(8))]
    (here / "prompts.csv").write_text("file_name,prompt,label\n" + "\n".join(rows) + "\n")
    return here


@pytest.fixture
def evaluate(clapgen: Command, model: Path) -> Command:
    return lambda *arguments: clapgen("evaluate", "generation", *arguments, "--model", model, "--cache", "cache")


@pytest.fixture
def evaluate_uncached(clapgen: Command, model: Path) -> Command:
    return lambda *arguments: clapgen("evaluate", "generation", *arguments, "--model", model, "--no-cache")


def metrics(result: Result) -> dict[str, Any]:
    assert result.code == 0, result
    [report] = result.json
    return {metric["name"]: metric for metric in report["metrics"]}


def warnings(result: Result) -> str:
    assert result.code == 0, result
    return "\n".join(result.json[0]["warnings"])


def embedded(clap: Clap, paths: list[Path]) -> np.ndarray:
    return clap.embed_audio([read_audio(path)[0] for path in paths], SAMPLE_RATE).numpy()


def test_the_report_has_the_values_of_the_metrics(evaluate: Command, sounds: Path, model: Path) -> None:
    result = evaluate("made", "--reference", "real", "--prompts", "prompts.csv", "--json", "--seed", 3)
    found = metrics(result)
    clap = Clap.from_pretrained(model)
    made = embedded(clap, [Path(f"made/{index}.wav") for index in range(8)])
    real = embedded(clap, [Path(f"real/{index}.flac") for index in range(8)])
    text = clap.embed_text([PROMPTS[index % 4] for index in range(8)]).numpy()
    score = clap_score(made, text, seed=3)
    assert found["CLAP score, text–audio"]["value"] == pytest.approx(score.mean, abs=1e-5)
    assert found["CLAP score, text–audio"]["interval"] == pytest.approx(score.interval, abs=1e-5)
    assert found["CLAP score, audio–audio"]["value"] == pytest.approx(clap_score(made, real).mean, abs=1e-5)
    assert found["CLAP score of real pairs (ceiling)"]["value"] == pytest.approx(clap_score(real, text).mean, abs=1e-5)
    assert found["FAD"]["value"] == pytest.approx(frechet_audio_distance(made, real), rel=1e-3)
    kernel = kernel_audio_distance(made, real)
    assert found["KAD"]["value"] == pytest.approx(kernel.value, rel=1e-3, abs=1e-2)
    assert f"{kernel.bandwidth:.3g}"[:4] in result.json[0]["settings"]["KAD bandwidth"]
    assert all(metric["value"] is not None for name, metric in found.items() if "training" not in name)
    [report] = result.json
    assert [Path(clip["path"]).stem for clip in report["clips"]] == [str(index) for index in range(8)]
    assert [clip["prompt"] for clip in report["clips"]] == [PROMPTS[index % 4] for index in range(8)]
    assert report["clips"][5]["CLAP score"] == pytest.approx(float(made[5] @ text[5]), abs=1e-5)
    assert report["clips"][5]["reference"] == "real/5.flac"
    assert report["settings"]["model hash"] == clap.hash
    assert "direction reference ‖ generated" in report["settings"]["posterior"]


def test_a_run_from_the_cache_equals_one_without_cache(
    evaluate: Command, evaluate_uncached: Command, sounds: Path
) -> None:
    arguments = ("made", "--reference", "real", "--prompts", "prompts.csv", "--json", "--per-clip-fad")
    first, second = evaluate(*arguments).json[0], evaluate(*arguments).json[0]
    fresh = evaluate_uncached(*arguments).json[0]
    for key in ("metrics", "clips", "settings", "warnings"):
        assert first[key] == second[key]
        assert fresh[key] == second[key]
    assert {clip["FAD"] is not None for clip in first["clips"]} == {True}
    assert_one_line(evaluate(*arguments, "--no-cache"), "--no-cache")


@pytest.mark.parametrize("cached", [False, True])
def test_each_file_is_hashed_and_decoded_once(
    evaluate: Command, evaluate_uncached: Command, sounds: Path, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    """References that are also the training clips, frames and defects: still one pass over the 16 files."""
    counts = {"hashed": Counter[str](), "decoded": Counter[str]()}

    def count(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(path: Path, *arguments: Any, **options: Any) -> Any:
            counts[kind][str(path)] += 1
            return function(path, *arguments, **options)

        return counted

    monkeypatch.setattr(file_identity, "_identify", count("hashed", file_identity._identify))
    monkeypatch.setattr(embedding_cache, "read_audio", count("decoded", read_audio))
    run = evaluate if cached else evaluate_uncached
    options = ("--reference", "real", "--training", "real", "--prompts", "prompts.csv", "--per-clip-fad", "--json")
    assert metrics(run("made", *options))["FAD per clip, mean"]["n"] == 8
    once = {f"made/{index}.wav": 1 for index in range(8)} | {f"real/{index}.flac": 1 for index in range(8)}
    assert counts == {"hashed": once, "decoded": once}


@pytest.mark.slow
def test_html_and_csv_reports(evaluate: Command, sounds: Path) -> None:
    options = ("made", "--prompts", "prompts.csv", "--html", "out/report.html", "--csv", "clips.csv")
    result = evaluate(*options)
    assert result.code == 0, result
    assert "CLAP score, text–audio" in result.out
    assert "window policy" in result.out
    assert "command: clapgen" in result.out
    assert names(Path("out")) == ["report.html"]
    assert len(Path("clips.csv").read_text().splitlines()) == 9
    assert_one_line(evaluate(*options), "out/report.html", "--force")
    assert evaluate(*options, "--force").code == 0
    assert_one_line(evaluate("made", "--html", "page.txt"), ".html")


def test_prompts_come_from_sidecars(evaluate: Command, generate: Command, here: Path, model: Path) -> None:
    made = generate("rain on a tin roof", "church bells", "-o", "made", "--format", "wav32", "--json").json
    found = evaluate("made", "--json").json[0]
    scores = {Path(clip["path"]).name: clip["CLAP score"] for clip in found["clips"]}
    for clip in made:
        assert scores[Path(clip["path"]).name] == pytest.approx(clip["score"], abs=1e-4)
    Path("prompts.txt").write_text("church bells\nrain on a tin roof\n")
    again = evaluate("made", "--prompts", "prompts.txt", "--json").json[0]
    assert again["clips"] == found["clips"]


def test_one_clip_gives_what_one_clip_can_give(evaluate: Command, sounds: Path) -> None:
    found = metrics(evaluate("made/3.wav", "--reference", "real", "--prompts", "prompts.csv", "--json"))
    assert found["CLAP score, text–audio"]["value"] is not None
    assert found["CLAP score, text–audio"]["interval"] is None
    for name in ("FAD", "FAD-inf", "KAD", "Precision", "Coverage", "Diversity", "Inception score"):
        assert found[name]["value"] is None
        assert "at least" in found[name]["note"]


def test_unpaired_files_are_named(evaluate: Command, sounds: Path) -> None:
    Path("made/7.wav").unlink()
    Path("real/2.flac").unlink()
    arguments = ("made", "--reference", "real", "--prompts", "prompts.csv")
    said = warnings(evaluate(*arguments, "--json"))
    for unpaired in ("real/7.flac", "made/2.wav", "7.wav"):
        assert unpaired in said
    assert_one_line(evaluate(*arguments, "--strict"), "7.wav", "--strict")
    found = metrics(evaluate(*arguments, "--json"))
    assert found["CLAP score, audio–audio"]["n"] == 6
    assert found["FAD"]["n"] == 7


def test_references_of_other_names_are_a_set_without_pairs(evaluate: Command, sounds: Path) -> None:
    for path in list(Path("real").iterdir()):
        path.rename(path.with_name(f"other-{path.name}"))
    result = evaluate("made", "--reference", "real", "--json", "--strict")
    found = metrics(result)
    assert "CLAP score, audio–audio" not in found
    assert found["KL(ref‖gen)"]["value"] is None
    assert found["KL(ref‖gen) of mean posteriors"]["value"] > 0
    assert found["FAD"]["value"] > 0


def test_names_that_come_twice_are_refused(evaluate: Command, sounds: Path) -> None:
    shutil.copy("real/1.flac", "real/1.wav")
    assert_one_line(evaluate("made", "--reference", "real"), "'1'", "reference files")
    Path("real/1.wav").unlink()
    text = Path("prompts.csv").read_text()
    Path("prompts.csv").write_text(text + "1.wav,another prompt,rain\n")
    assert_one_line(evaluate("made", "--prompts", "prompts.csv"), "prompts.csv:10", "1.wav")


def test_folders_in_folders_pair_by_path(evaluate: Command, here: Path) -> None:
    for kind in ("rain", "dog"):
        write_sound(Path("made") / kind / "0.wav", len(kind))
        write_sound(Path("real") / kind / "0.wav", 10 + len(kind))
    [report] = evaluate("made", "--reference", "real", "--json").json
    for clip in report["clips"]:
        assert clip["reference"] == clip["path"].replace("made", "real")


def test_a_prompts_file_may_name_the_reference(evaluate: Command, sounds: Path) -> None:
    Path("p.jsonl").write_text(
        "\n".join(json.dumps({"path": f"{i}.wav", "prompt": "rain", "reference": f"{7 - i}.flac"}) for i in range(8))
    )
    [report] = evaluate("made", "--reference", "real", "--prompts", "p.jsonl", "--json").json
    assert [Path(clip["reference"]).stem for clip in report["clips"]] == [str(7 - index) for index in range(8)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("file_name,promt\n0.wav,rain\n", ("prompts.csv:1", "'prompt'", "promt")),
        ("file_name,prompt\n0.wav,\n", ("prompts.csv:2", "empty")),
        ("file_name,prompt\n0.wav,rain,hail\n", ("prompts.csv:2", "cells")),
        ("file_name,prompt\n", ("prompts.csv", "no rows")),
        ("file_name,prompt\nother.wav,rain\n", ("other.wav", "no row")),
    ],
)
def test_prompts_that_cannot_be_used(evaluate: Command, sounds: Path, content: str, words: tuple[str, ...]) -> None:
    Path("prompts.csv").write_text(content)
    assert_one_line(evaluate("made", "--prompts", "prompts.csv"), *words)


def test_nothing_to_evaluate(evaluate: Command, sounds: Path) -> None:
    Path("empty").mkdir()
    assert_one_line(evaluate("empty"), "empty contains no audio")
    assert_one_line(evaluate("made", "--reference", "empty"), "empty contains no audio")
    assert_one_line(evaluate("missing"), "missing does not exist")
    assert_one_line(evaluate("made", "--prompts", "made/0.wav"), "0.wav")


def test_corrupt_clips_are_named_and_counted(evaluate: Command, sounds: Path) -> None:
    Path("made/1.wav").write_text("not a sound")
    whole = Path("real/4.flac").read_bytes()
    Path("real/4.flac").write_bytes(whole[: len(whole) // 3])
    result = evaluate("made", "--reference", "real", "--prompts", "prompts.csv", "--json")
    [report] = result.json
    assert {Path(item["path"]).name for item in report["skipped"]} == {"1.wav", "4.flac"}
    assert metrics(result)["CLAP score, audio–audio"]["n"] == 6
    assert "2 files could not be used" in result.err
    assert_one_line(evaluate("made", "--strict"), "1.wav")
    for path in Path("made").iterdir():
        path.write_text("not a sound")
    assert_one_line(evaluate("made"), "no file could be read")


def test_a_broken_model_is_refused_by_name(clapgen: Command, sounds: Path) -> None:
    broken = Clap.from_pretrained(tiny_model(Path("broken")))
    with torch.no_grad():
        broken.audio_projection[0].weight.fill_(torch.nan)
    broken.save_pretrained("broken")
    assert_one_line(clapgen("evaluate", "generation", "made", "--model", "broken", "--cache", "kept"), "broken", "NaN")


def test_copies_of_references_are_detected_by_content(evaluate: Command, sounds: Path) -> None:
    for index in range(3):
        shutil.copy(f"real/{index}.flac", f"made/{index}.wav")
    said = warnings(evaluate("made", "--reference", "real", "--json"))
    assert "3 of 8 generated files are byte for byte among the references" in said
    assert "near-duplicates of a reference" in said
    shutil.rmtree("made")
    shutil.copytree("real", "made")
    result = evaluate("made", "--reference", "real", "--html", "report.html", "--json")
    assert metrics(result)["Nearest reference"]["value"] == pytest.approx(1)
    assert "8 of 8 generated sounds are nearly identical to a reference" in warnings(result)


@pytest.mark.parametrize("kind", ["silent", "constant", "noise"])
def test_degenerate_outputs_are_reported(evaluate: Command, sounds: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    for index in range(8):
        waveform = {
            "silent": np.zeros,
            "constant": lambda n: np.full(n, 0.3),
            "noise": lambda n: 0.1 * rng.standard_normal(n),
        }[kind](2 * SAMPLE_RATE)
        soundfile.write(f"made/{index}.wav", waveform, SAMPLE_RATE)
    result = evaluate("made", "--reference", "real", "--prompts", "prompts.csv", "--json")
    assert f"8 of 8 generated sounds are {'' if kind != 'noise' else 'steady white '}{kind}" in warnings(result)
    assert {clip["defect"] for clip in result.json[0]["clips"]} == {kind}
    if kind != "noise":
        assert "do not follow their prompts" in warnings(result)
    for name in ("Precision", "Recall", "Density", "Coverage"):
        assert metrics(result)[name]["value"] == 0, name


def test_silent_clips_lower_precision_by_their_share(evaluate: Command, sounds: Path, model: Path) -> None:
    for index in (6, 7):
        soundfile.write(f"made/{index}.wav", np.zeros(2 * SAMPLE_RATE), SAMPLE_RATE)
    found = metrics(evaluate("made", "--reference", "real", "--nearest-k", 2, "--json"))
    clap = Clap.from_pretrained(model)
    made = embedded(clap, [Path(f"made/{index}.wav") for index in range(6)])
    real = embedded(clap, [Path(f"real/{index}.flac") for index in range(8)])
    expected = precision_recall_density_coverage(made, real, nearest_k=2)
    assert found["Precision"]["value"] == pytest.approx(expected.precision * 6 / 8)
    assert found["Density"]["value"] == pytest.approx(expected.density * 6 / 8)
    assert found["Recall"]["value"] == pytest.approx(expected.recall)
    assert "the 2 silent, constant or noise clips" in found["Coverage"]["note"]


def test_nothing_depends_on_the_order_of_files(evaluate: Command, sounds: Path) -> None:
    rows = [{"path": f"made/{index}.wav", "captions": [PROMPTS[index % 4]]} for index in range(8)]
    reports = []
    for order in (rows, rows[::-1]):
        Path("made.jsonl").write_text("".join(json.dumps(row) + "\n" for row in order))
        reports.append(evaluate("made.jsonl", "--reference", "real", "--json").json[0])
    first, second = ({metric["name"]: metric for metric in report["metrics"]} for report in reports)
    for name, metric in first.items():
        assert metric["value"] == (None if metric["value"] is None else pytest.approx(second[name]["value"], abs=1e-6))
    assert reports[0]["settings"]["content"] == reports[1]["settings"]["content"]


def test_novelty_is_against_the_training_clips(evaluate: Command, sounds: Path) -> None:
    shutil.copytree("real", "training")
    shutil.copy("made/2.wav", "training/copy.wav")
    result = evaluate("made", "--reference", "real", "--training", "training", "--json")
    clip = result.json[0]["clips"][2]
    assert clip["nearest training clip"] == "training/copy.wav"
    assert clip["cosine to it (training clip)"] == pytest.approx(1)
    assert "2.wav – copy.wav" in warnings(result)
    assert metrics(result)["Nearest training clip of the references"]["value"] == pytest.approx(1)
    assert "8 of 8 references are byte for byte among the training clips" in warnings(result)


def test_only_the_training_split_counts_as_training_clips(evaluate: Command, sounds: Path) -> None:
    lines = [{"path": f"real/{index}.flac", "split": "val" if index < 5 else "train"} for index in range(8)]
    Path("clips.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = evaluate("made", "--reference", "clips.jsonl", "--split", "val", "--training", "clips.jsonl", "--json")
    assert "byte for byte" not in warnings(result)
    assert result.json[0]["settings"]["training clips"].startswith("3 files")
    assert {clip["nearest training clip"][-6] for clip in result.json[0]["clips"]} <= {"5", "6", "7"}
    for index in range(5, 8):
        samples, _ = read_audio(Path(f"real/{index}.flac"), 4000)
        soundfile.write(f"real/{index}.flac", samples, 4000)
    assert "3 of 3 training clips have a sample rate below" in warnings(
        evaluate("made", "--training", "clips.jsonl", "--json")
    )


def test_options_of_manifests_are_refused_without_one(evaluate: Command, sounds: Path) -> None:
    assert_one_line(evaluate("made", "--split", "val"), "--split", "--reference")
    assert_one_line(evaluate("made", "--reference", "real", "--split", "val"), "--split val", "real")
    assert_one_line(evaluate("made", "--label-field", "class"), "'class'", "--label-field")


def test_sets_of_different_rates_are_downsampled(evaluate: Command, sounds: Path, model: Path) -> None:
    for index in range(8):
        samples, _ = read_audio(Path(f"real/{index}.flac"), 4000)
        soundfile.write(f"real/{index}.flac", samples, 4000)
    result = evaluate("made", "--reference", "real", "--json")
    assert "downsampled to 4000 Hz" in warnings(result)
    assert result.json[0]["settings"]["band limit"] == "4000 Hz, both sets"
    assert_one_line(evaluate("made", "--reference", "real", "--strict"), "4000 Hz", "--strict")
    clap = Clap.from_pretrained(model)
    low = [resample(read_audio(Path(f"made/{index}.wav"))[0], SAMPLE_RATE, 4000) for index in range(8)]
    made = np.concatenate([clap.embed_audio([samples], 4000) for samples in low])
    real = np.concatenate([clap.embed_audio([read_audio(Path(f"real/{index}.flac"))[0]], 4000) for index in range(8)])
    assert metrics(result)["FAD"]["value"] == pytest.approx(frechet_audio_distance(made, real), rel=1e-3)


def test_rates_above_the_model_do_not_matter(evaluate: Command, sounds: Path) -> None:
    for index in range(8):
        write_sound(Path("real") / f"{index}.flac", 100 + index, rate=44100)
    result = evaluate("made", "--reference", "real", "--json", "--strict")
    assert result.code == 0
    assert result.json[0]["settings"]["band limit"] == "none"
    assert "44100 Hz × 8" in result.json[0]["settings"]["sample rates"]


class Level:
    """An embedder that hears more than the CLAP: loudness and steadiness at 44.1 kHz."""

    name, hash, dim, sample_rate, window_policy = "level", "", 2, 44100, "whole"

    def embed_audio(self, waveforms: list[np.ndarray], sample_rate: int) -> torch.Tensor:
        return torch.tensor([[np.abs(samples).mean(), samples.std()] for samples in waveforms], dtype=torch.float32)


register_embedder("level", lambda which, device: Level())


def test_rates_matter_up_to_that_of_the_other_embedder(evaluate: Command, sounds: Path) -> None:
    for index in range(8):
        write_sound(Path("real") / f"{index}.flac", 100 + index, rate=44100)
    arguments = ("made", "--reference", "real", "--embedder", "level")
    [report] = evaluate(*arguments, "--json").json
    assert report["settings"]["band limit"] == f"{SAMPLE_RATE} Hz, both sets"
    assert report["settings"]["distances by"].startswith("level; not saved; 44100 Hz")
    assert_one_line(evaluate(*arguments, "--strict"), "44100 Hz", "--strict")


def test_labels_of_the_posterior(evaluate: Command, sounds: Path) -> None:
    settings = [
        evaluate("made", *options, "--json").json[0]["settings"]["posterior"]
        for options in ((), ("--prompts", "prompts.csv"), ("--labels", "rain,wind,church bells"))
    ]
    assert "50 labels (ESC-50)" in settings[0]
    assert "2 labels (the labels of prompts" in settings[1]
    assert "3 labels (--labels)" in settings[2]
    assert_one_line(evaluate("made", "--labels", "rain"), "--labels")
    assert_one_line(evaluate("made", "--template", "a sound"), "{label}")


def test_distances_can_use_another_embedder(evaluate: Command, other_model: Path, model: Path, sounds: Path) -> None:
    arguments = ("made", "--reference", "real", "--prompts", "prompts.csv", "--json")
    usual, other = evaluate(*arguments), evaluate(*arguments, "--embedder", other_model)
    assert metrics(usual)["CLAP score, text–audio"] == metrics(other)["CLAP score, text–audio"]
    assert metrics(usual)["FAD"]["value"] != metrics(other)["FAD"]["value"]
    assert str(other_model) in other.json[0]["settings"]["distances by"]
    assert_one_line(evaluate("made", "--embedder", "encodek:x"), "encodec")
    assert_one_line(evaluate("made", "--embedder", "encodec:./missing"), "missing")


def test_a_sound_that_a_prompt_names_is_not_put_on_the_page(evaluate: Command, sounds: Path, tmp_path: Path) -> None:
    private = write_sound(tmp_path / "home" / "private.wav", 7)
    Path("prompts.csv").write_text(f"file_name,prompt\n0.wav,{private}\n1.wav,rain\n2.wav,wind\n")
    given = evaluate("made", "--prompts", "prompts.csv", "--html", "page.html")
    assert given.code == 0
    assert "1 sound named in a table" in given.err and str(private) in given.err
    page = Path("page.html").read_text()
    assert "Play private.wav" not in page
    assert page.count("<audio") == page.count("<article") == 3


def test_names_pair_with_or_without_their_spaces(evaluate: Command, sounds: Path) -> None:
    Path("made/0.wav").rename("made/ typical neighborhood.wav")
    Path("made/1.wav").rename("made/birds.wav")
    Path("real/0.flac").rename("real/ typical neighborhood.flac")
    Path("prompts.csv").write_text(
        'file_name,prompt,reference\n " typical neighborhood.wav",people talk,\nbirds.wav ,birds sing,1\n'.replace(
            ' "', '"'
        )
    )
    result = evaluate("made", "--prompts", "prompts.csv", "--reference", "real", "--json")
    rows = {Path(clip["path"]).name: clip for clip in result.json[0]["clips"]}
    assert rows[" typical neighborhood.wav"]["prompt"] == "people talk"
    assert rows["birds.wav"]["prompt"] == "birds sing"
    assert rows["birds.wav"]["reference"] == "real/1.flac"
    Path("prompts.txt").write_text(" typical neighborhood\tpeople talk\n")
    assert evaluate("made", "--prompts", "prompts.txt", "--json").code == 0
    named = evaluate("made", "--reference", "real", "--json").json[0]["clips"]
    assert {Path(clip["path"]).name: clip["reference"] for clip in named}[" typical neighborhood.wav"]


def test_labels_match_whether_written_with_underscores_or_spaces(evaluate: Command, sounds: Path) -> None:
    labels = ("church_bells", "church bells", "Dog", "sea_waves")
    rows = [f"{index}.wav,a sound,{labels[index % 4]}" for index in range(8)]
    Path("prompts.csv").write_text("file_name,prompt,label\n" + "\n".join(rows) + "\n")
    for classes in ("church_bells,dog,sea_waves", "church bells,dog,sea waves"):
        result = evaluate("made", "--prompts", "prompts.csv", "--labels", classes, "--json", "--strict")
        assert metrics(result)["Zero-shot accuracy"]["n"] == 8
        assert {clip["label"] for clip in result.json[0]["clips"]} == {"church bells", "dog", "sea waves"}


def test_labels_that_are_not_among_the_classes_are_counted(evaluate: Command, sounds: Path) -> None:
    arguments = ("made", "--prompts", "prompts.csv", "--labels", "rain,wind")
    result = evaluate(*arguments, "--json")
    assert metrics(result)["Zero-shot accuracy"]["n"] == 4
    assert "4 of 8 labelled generated clips have a label that is not among the classes ('dog')" in warnings(result)
    assert_one_line(evaluate(*arguments, "--strict"), "'dog'", "--labels")


def test_files_that_a_folder_leaves_out_are_counted_and_linked_folders_entered_once(
    evaluate: Command, sounds: Path
) -> None:
    Path("made/notes.txt").write_text("take two")
    Path("made/video.xyz").write_text("no sound")
    Path("made/.hidden").mkdir()
    write_sound(Path("made/.hidden/9.wav"), 9)
    write_sound(Path("elsewhere/8.wav"), 8)
    Path("made/linked").symlink_to(Path("elsewhere").absolute())
    Path("made/loop").symlink_to(Path("made").absolute())
    result = evaluate("made", "--json")
    assert sorted(Path(clip["path"]).name for clip in result.json[0]["clips"]) == [f"{index}.wav" for index in range(9)]
    assert "made: left out 2 files that are not audio by suffix (1 .txt, 1 .xyz)." in warnings(result)


@pytest.mark.slow
def test_a_name_that_is_not_text_and_a_sound_that_claims_hours_end_no_run(sounds: Path, model: Path) -> None:
    odd = Path("made") / os.fsdecode(b"\xff\x1b[31m.wav")
    Path("made/0.wav").rename(odd)
    soundfile.write("made/hours.wav", np.zeros(800_000, dtype=np.int16), 1, subtype="PCM_U8")  # 222 hours in 0.8 MB
    options = ("--html", "page.html", "--csv", "clips.csv", "--json", "--no-cache")
    done = finish(start("evaluate", "generation", "made", "--model", model, *options))
    assert done.code == 0, done
    [report] = done.json
    assert {Path(item["path"]).name for item in report["skipped"]} == {"hours.wav"}
    assert report["settings"]["band limit"] == "none"
    assert str(odd) in {clip["path"] for clip in report["clips"]}
    assert len(report["clips"]) == 8
    for file in ("page.html", "clips.csv"):
        Path(file).read_text(encoding="utf-8")
    assert "\x1b" not in Path("page.html").read_text(encoding="utf-8")


def test_samples_far_above_full_scale_are_left_out_by_name(evaluate: Command, sounds: Path) -> None:
    soundfile.write("made/huge.wav", np.full(SAMPLE_RATE, 1e30, dtype=np.float32), SAMPLE_RATE, subtype="FLOAT")
    result = evaluate("made", "--reference", "real", "--json")
    assert result.code == 0
    report = result.json[0]
    assert [Path(skipped["path"]).name for skipped in report["skipped"]] == ["huge.wav"]
    assert metrics(result)["FAD"]["n"] == 8
