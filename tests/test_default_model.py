"""The default model: intact, small, and as good as the README says, on recordings outside its evaluation."""

from pathlib import Path

import numpy as np
import pytest
import torch

from clapgen.audio import read_audio
from clapgen.clap import Clap
from clapgen.clap.calibrations import calibration_of
from clapgen.metrics.embeddings.zero_shot import class_prompts, zero_shot_accuracy
from clapgen.model_store import resolve_model, verify_model
from generation.pipeline import TextToAudio

CLASSES = ["rain", "dog", "church_bells", "crying_baby", "sea_waves", "chainsaw", "clock_tick", "thunderstorm"]


@pytest.fixture(scope="module")
def model() -> TextToAudio:
    return TextToAudio.from_pretrained()


def test_every_file_passes_its_checksum_and_all_fit_in_80_megabytes():
    folder = resolve_model("default")
    assert not [check for check in verify_model(folder) if check.problem]
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 80e6


def test_the_card_is_complete_and_every_training_clip_has_an_author():
    folder = resolve_model("default")
    card = (folder / "MODEL_CARD.md").read_text()
    assert all(word in card for word in ("ESC-50", "zero-shot accuracy", "## Licence", "## Recipe"))
    header, *rows = (line.split("\t") for line in (folder / "ATTRIBUTION.tsv").read_text().splitlines())
    assert header == ["clip", "author", "licence", "url"]
    assert f"{len(rows):,} clips" in card  # every clip that the card counts is attributed
    assert len({clip for clip, *_ in rows}) == len(rows)
    assert all(author and licence for _, author, licence, _ in rows)


def test_recordings_are_recognised(model: TextToAudio, recordings: list[Path]):
    names = {
        "cymbal": "cymbal",
        "glass": "glass breaking",
        "handclap": "clapping",
        "piano": "piano",
        "rooster": "rooster",
    }
    known = [path for path in recordings if path.stem in names]
    audio = torch.cat([model.clap.embed_audio([sound], rate) for sound, rate in map(read_audio, known)])
    prompts = model.clap.embed_text(class_prompts(list(names.values())))
    truth = torch.tensor([list(names).index(path.stem) for path in known])
    assert zero_shot_accuracy(audio, prompts, truth) >= 0.6


def test_none_of_the_labels_is_likely_where_none_applies(model: TextToAudio, recordings: list[Path]):
    calibration = calibration_of(model.clap)  # measured for these very weights
    known = [path for path in recordings if path.stem in ("glass", "handclap", "piano", "rooster")]
    audio = torch.cat([model.clap.embed_audio([sound], rate) for sound, rate in map(read_audio, known)])

    def none(labels: list[str]) -> np.ndarray:
        prompts = model.clap.embed_text(class_prompts(labels, calibration.template))
        return calibration.with_none((audio @ prompts.T).numpy())[:, -1]

    assert none(["glass breaking", "clapping", "piano", "rooster"]).mean() < 0.4
    assert none(["wind", "church bells", "frog"]).mean() > 0.6


def test_words_without_training_clips_are_close_to_words_with_some(model: TextToAudio):
    hound, dog, rain = model.clap.embed_text(["the sound of a hound", "the sound of a dog", "the sound of rain"])
    assert float(hound @ dog) > float(hound @ rain) + 0.2


@pytest.mark.slow
def test_generated_sounds_are_classified_as_their_prompts(model: TextToAudio):
    prompts = class_prompts(CLASSES)
    sounds = model.generate(prompts, seconds=5.0, num_steps=15)
    audio = torch.cat([model.clap.embed_audio([sound.waveform], sound.sample_rate) for sound in sounds])
    assert zero_shot_accuracy(audio, model.clap.embed_text(prompts), torch.arange(len(prompts))) >= 0.75
    assert all(np.isfinite(sound.waveform).all() and sound.waveform.std() > 1e-3 for sound in sounds)


@pytest.mark.slow
def test_sounds_do_not_share_their_noise(model: TextToAudio):
    prompts = ["rain", "rain", "rain on a tin roof", "a waterfall"]
    sounds = model.generate(prompts, seeds=[0, 1, 0, 0], seconds=3.0, num_steps=12)
    correlations = np.corrcoef([sound.waveform for sound in sounds])
    assert np.abs(correlations - np.eye(len(prompts))).max() < 0.05


@pytest.mark.slow
def test_sounds_have_no_rumble_and_begin_and_end_without_a_click(model: TextToAudio):
    for sound in model.generate(["a dog barks", "thunder", "church bells", "a car horn"], seconds=0.5):
        power = np.abs(np.fft.rfft(sound.waveform)) ** 2
        below_hearing = np.fft.rfftfreq(len(sound.waveform), 1 / sound.sample_rate) < 20
        assert power[below_hearing].sum() < 0.01 * power.sum()
        assert max(abs(sound.waveform[0]), abs(sound.waveform[-1])) < 1e-3


def test_reconstructions_embed_close_to_the_originals(model: TextToAudio, recordings: list[Path]):
    for path in recordings:
        waveform = torch.from_numpy(read_audio(path, model.sample_rate)[0])[None]
        with torch.no_grad():
            rebuilt = model.autoencoder.reconstruct(waveform)
        pair = [model.clap.embed_audio([x[0].numpy()], model.sample_rate) for x in (waveform, rebuilt)]
        assert float((pair[0] * pair[1]).sum()) > 0.8, path.name


def test_the_clap_loads_without_the_other_parts():
    assert Clap.from_pretrained().hash == TextToAudio.from_pretrained().hashes["clap"]
