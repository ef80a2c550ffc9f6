"""`Captioner`: captions are independent of the batch, carry their own CLAP score, and survive saving."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_captioner import SENTENCES, add_tiny_captioner, build_spread_model, build_tiny_captioner

from captioning.captioner import SILENCE, Captioner
from captioning.decoding import Decoding
from captioning.segments import caption_files
from clapgen.audio import write_audio
from clapgen.errors import ClapgenError
from clapgen.model_store import load_part, record_checksums, verify_model
from clapgen.testing import SAMPLE_RATE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_captioner(tmp_path_factory.mktemp("models") / "tiny-captioner")


@pytest.fixture(scope="module")
def captioner(folder: Path) -> Captioner:
    return Captioner.from_pretrained(folder)


def tones(*seconds: float) -> list[np.ndarray]:
    sounds = []
    for index, length in enumerate(seconds):
        time = np.arange(round(length * SAMPLE_RATE)) / SAMPLE_RATE
        sounds.append((0.5 * np.sin(2 * np.pi * 110 * 2.5**index * time)).astype(np.float32))
    return sounds


@pytest.mark.parametrize("bridge", ["none", "memory"])
@pytest.mark.parametrize("decoding", [None, Decoding(method="nucleus", seed=2, max_tokens=8)], ids=["own", "nucleus"])
def test_a_caption_does_not_depend_on_other_sounds(folder: Path, bridge: str, decoding: Decoding | None) -> None:
    captioner = Captioner.from_pretrained(folder, bridge=bridge)
    sounds = [*tones(0.5, 1.7, 0.2, 3), np.zeros(4000, np.float32)]
    together = captioner.caption(sounds, SAMPLE_RATE, decoding, candidates=3)
    for sound, caption in zip(sounds, together, strict=True):
        [alone] = captioner.caption([sound], SAMPLE_RATE, decoding, candidates=3)
        assert [each.text for each in alone.candidates] == [each.text for each in caption.candidates]
        assert alone.text == caption.text and alone.score == pytest.approx(caption.score, abs=1e-4)


def test_the_candidate_that_clap_finds_nearest_is_taken(captioner: Captioner) -> None:
    sounds = tones(0.5, 1, 1)
    embedded = captioner.clap.embed_audio(sounds, SAMPLE_RATE)
    for sound, caption in zip(embedded, captioner.caption(sounds, SAMPLE_RATE, candidates=4), strict=True):
        texts = [each.text for each in caption.candidates]
        cosines = (captioner.clap.embed_text(texts) @ sound).tolist()
        assert [each.score for each in caption.candidates] == pytest.approx(cosines, abs=1e-5)
        assert caption.score == max(each.score for each in caption.candidates) == caption.candidates[0].score
        assert caption.text == texts[0] and 1 < len(set(texts)) == len(texts) <= 4


def test_sounds_may_be_tensors_arrays_or_a_matrix(captioner: Captioner) -> None:
    arrays = tones(1, 1)
    expected = captioner.caption(arrays, SAMPLE_RATE)
    assert captioner.caption([torch.from_numpy(each) for each in arrays], SAMPLE_RATE) == expected
    assert captioner.caption(np.stack(arrays), SAMPLE_RATE) == expected
    assert captioner.caption(torch.from_numpy(np.stack(arrays)), SAMPLE_RATE) == expected
    assert captioner.caption([], SAMPLE_RATE) == []


def test_more_sounds_than_a_batch_keep_their_order(captioner: Captioner) -> None:
    sounds = tones(0.3, 0.3, 0.3)
    few = captioner.caption(sounds, SAMPLE_RATE)
    many = captioner.caption(sounds * 25, SAMPLE_RATE)
    assert [caption.text for caption in many] == [caption.text for caption in few] * 25


def test_silence_is_named_and_not_decoded(captioner: Captioner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captioner.decoder, "generate", lambda *_: pytest.fail("a silent sound was decoded"))
    faint = 0.0009 * np.tile(np.float32([1, -1]), 2000)
    sounds = [np.zeros(4000, np.float32), faint, faint + np.float32(0.5), np.full(4000, 0.3, np.float32)]
    zero, low, shifted, constant = captioner.caption(sounds, SAMPLE_RATE, candidates=3)
    assert (zero.text, zero.note, zero.candidates) == (SILENCE, "digital silence", [])
    assert (low.text, low.note) == (shifted.text, shifted.note) == (SILENCE, "silent: peaks at -61 dBFS")
    assert (constant.text, constant.note) == (SILENCE, "silent: a constant offset")


def test_a_waveform_that_clap_refuses_is_refused(captioner: Captioner) -> None:
    for wrong in (np.zeros((2, 100), np.float32), np.zeros(0, np.float32), np.full(100, np.nan, np.float32)):
        with pytest.raises(ClapgenError, match="a waveform"):
            captioner.caption([wrong], SAMPLE_RATE)


def test_a_folder_gives_back_what_was_saved(captioner: Captioner, folder: Path, tmp_path: Path) -> None:
    captioner.clap.save_pretrained(tmp_path)
    captioner.save_pretrained(tmp_path)
    again = Captioner.from_pretrained(tmp_path)
    sounds = tones(1, 1, 1)
    assert [c.text for c in again.caption(sounds, SAMPLE_RATE)] == [
        c.text for c in captioner.caption(sounds, SAMPLE_RATE)
    ]
    assert again.hash == captioner.hash and again.describe() == {**captioner.describe(), "model": str(tmp_path)}
    assert all(check.problem == "" for check in verify_model(tmp_path))
    assert (
        load_file(tmp_path / "captioner" / "model.safetensors").keys()
        == load_part(folder, "captioner", type(captioner.config))[1].keys()
    )


def test_bridges_are_chosen_by_name(folder: Path) -> None:
    captioner = Captioner.from_pretrained(folder, bridge="noise+memory")
    assert captioner.bridge == "noise+memory" and captioner.bridges == ["none", "noise", "memory"]
    audio = captioner.clap.embed_audio(tones(1, 1), SAMPLE_RATE)
    known = captioner.clap.embed_text(SENTENCES)
    assert not torch.allclose(captioner.bridged_audio(audio), audio, atol=1e-2)
    assert torch.allclose(captioner.bridged_text(known), known)
    captioner.use_bridge(["none"])
    assert captioner.bridge == "none" and torch.equal(captioner.bridged_audio(audio), audio)
    with pytest.raises(ClapgenError, match=r"unknown bridge 'memry'.*Did you mean 'memory'"):
        captioner.use_bridge(["memry"])
    assert captioner.bridge == "none"  # what was in use stays
    with pytest.raises(ClapgenError, match=r"unknown bridge 'difusion'.*Did you mean 'diffusion'"):
        Captioner.from_pretrained(folder, bridge="difusion")


def test_another_clap_is_refused_and_the_same_one_elsewhere_is_not(folder: Path, tmp_path: Path) -> None:
    build_spread_model(tmp_path / "same")
    build_spread_model(tmp_path / "other", seed=1)
    captioner = Captioner.from_pretrained(folder, clap=tmp_path / "same")
    assert captioner.describe()["hashes"]["clap"] == Captioner.from_pretrained(folder).clap.hash
    with pytest.raises(ClapgenError, match=r"CLAP tiny .*other holds the CLAP"):
        Captioner.from_pretrained(folder, clap=tmp_path / "other")
    with pytest.raises(ClapgenError, match="has no captioner; train one"):
        Captioner.from_pretrained(tmp_path / "same")
    add_tiny_captioner(tmp_path / "other", clap_name="other")
    assert Captioner.from_pretrained(tmp_path / "other").config.clap_name == "other"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("decoder.mapper.layers.0.weight"), "lacks 'mapper.layers.0.weight'"),
        (lambda state: state.update({"decoder.extra": torch.zeros(1)}), "unknown weight 'extra'"),
        (lambda state: state.update({"bridges.memory.memory": torch.zeros(4, 7)}), "does not fit its config"),
        (lambda state: state.update({"bridges.nearest.memory": torch.zeros(4, 16)}), "does not fit its config"),
    ],
)
def test_weights_that_do_not_fit_are_named(folder: Path, tmp_path: Path, change, words: str) -> None:
    build_tiny_captioner(tmp_path)
    file = tmp_path / "captioner" / "model.safetensors"
    state = load_file(file)
    change(state)
    save_file(state, file)
    record_checksums(tmp_path)
    with pytest.raises(ClapgenError, match=words) as refused:
        Captioner.from_pretrained(tmp_path)
    assert str(file) in str(refused.value)


def test_files_come_in_order_with_the_error_of_each_that_cannot_be_read(captioner: Captioner, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.wav" for name in "abcd"]
    for path, sound in zip(paths, tones(0.5, 3, 0.5, 0.5), strict=True):
        write_audio(path, sound, SAMPLE_RATE)
    paths[2].write_text("not a sound")
    reported: list[tuple[Path, float]] = []
    texts: list[list[list[str]]] = []
    for batch_size in (1, 2, 32):
        files = list(
            caption_files(captioner, paths, 1.0, batch_size=batch_size, report=lambda *where: reported.append(where))
        )
        assert [file.path for file in files] == paths
        assert [[(each.start, each.end) for each in file.segments] for file in files] == [
            [(0, 0.5)],
            [(0, 1), (1, 2), (2, 3)],
            [],
            [(0, 0.5)],
        ]
        assert [file.error is None for file in files] == [True, True, False, True]
        texts.append([[each.caption.text for each in file.segments] for file in files])
    assert texts[0] == texts[1] == texts[2]
    assert reported[0] == (paths[0], 0.5) and reported[-1] == (paths[3], 0.5)


def test_reading_stops_when_nobody_listens(captioner: Captioner, tmp_path: Path) -> None:
    for index in range(40):
        write_audio(tmp_path / f"{index:02d}.wav", tones(0.2)[0], SAMPLE_RATE)
    asked: list[Path] = []

    def paths():
        for path in sorted(tmp_path.glob("*.wav")):
            asked.append(path)
            yield path

    files = caption_files(captioner, paths(), batch_size=2)
    next(files)
    files.close()
    assert len(asked) <= 8
