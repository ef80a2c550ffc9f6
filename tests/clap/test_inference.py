"""Embeddings do not depend on what the caller has set in torch, nor on the type of the samples."""

from pathlib import Path

import numpy as np
import pytest
import torch

from clapgen.clap import Clap
from clapgen.embedders import load_embedder
from clapgen.errors import ClapgenError
from clapgen.testing import SAMPLE_RATE, tiny_model

TEXTS = ["a dog barks", "rain"]


@pytest.fixture(scope="module")
def clap(tmp_path_factory: pytest.TempPathFactory) -> Clap:
    return Clap.from_pretrained(tiny_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def waveform() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, 3 * SAMPLE_RATE).astype(np.float32)


def embed(clap: Clap, waveform: np.ndarray) -> list[torch.Tensor]:
    return [
        clap.embed_audio([waveform], SAMPLE_RATE),
        clap.embed_text(TEXTS),
        clap.embed_frames(waveform, SAMPLE_RATE),
    ]


def test_embeddings_in_a_module_in_training_mode_are_the_same_and_change_nothing(
    clap: Clap, waveform: np.ndarray
) -> None:
    expected = embed(clap, waveform)
    statistics = {name: buffer.clone() for name, buffer in clap.named_buffers()}
    outer = torch.nn.ModuleDict({"clap": clap, "head": torch.nn.Linear(clap.dim, 2)}).train()
    clap.text_tower.eval()  # a part that its owner has frozen
    for before, now in zip(expected, embed(clap, waveform), strict=True):
        assert torch.equal(before, now)
    assert outer.training
    assert clap.audio_tower.training
    assert not clap.text_tower.training
    assert all(torch.equal(statistics[name], buffer) for name, buffer in clap.named_buffers())
    clap.eval()


def test_embeddings_do_not_depend_on_torchs_defaults(clap: Clap, waveform: np.ndarray) -> None:
    expected = embed(clap, waveform)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            found = embed(clap, waveform)
        assert torch.get_default_dtype() == torch.float64
        assert torch.zeros(1).device.type == "meta"
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    for before, now in zip(expected, found, strict=True):
        assert now.dtype == torch.float32
        assert torch.equal(before, now)


def test_integer_samples_have_the_embedding_of_the_same_sound(clap: Clap, waveform: np.ndarray) -> None:
    expected = clap.embed_audio([waveform], SAMPLE_RATE)
    for dtype, scale in ((np.int16, 2**15), (np.int32, 2**31)):
        found = clap.embed_audio([(waveform.astype(np.float64) * scale).astype(dtype)], SAMPLE_RATE)
        assert torch.allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("waveforms", "words"),
    [
        ([np.zeros((2, 4000), np.float32)], "to_mono"),
        ([np.zeros((4000, 2), np.float32)], "to_mono"),
        (np.zeros(4000, np.float32), "list of waveforms"),
        (["sound.wav"], "read_audio"),
        ([Path("sound.wav")], "read_audio"),
        ("sound.wav", "list of waveforms"),
        ([np.zeros(400, np.int64)], "must hold float"),
        ([None], "must hold float"),
    ],
)
def test_what_is_no_mono_waveform_is_refused(clap: Clap, waveforms: object, words: str) -> None:
    with pytest.raises(ClapgenError, match=words):
        clap.embed_audio(waveforms, SAMPLE_RATE)  # type: ignore[arg-type]


def test_a_device_that_is_not_there_is_named_and_auto_is_one(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    assert Clap.from_pretrained(folder, device="auto").dim
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA GPU")
    for load in (Clap.from_pretrained, load_embedder):
        with pytest.raises(ClapgenError, match="this torch sees 0 CUDA GPUs"):
            load(str(folder), device="cuda")
