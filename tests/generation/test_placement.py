"""On an accelerator nothing is computed on the CPU by mistake, nor in double precision, which Apple's GPU lacks.

Device "meta" stands in for it: it computes shapes only, and refuses to mix with tensors on the CPU.
"""

import contextlib
from collections.abc import Iterator

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from clapgen.clap import Clap
from clapgen.testing import tiny_model
from generation.autoencoder import Autoencoder
from generation.autoencoder.decoder import Decoder
from generation.diffusion.guidance import GuidedVelocity, classifier_free
from generation.diffusion.samplers import SAMPLERS, timesteps
from generation.pipeline import TextToAudio


class NoDoublePrecision(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (list, tuple)) else [result]:
            if isinstance(tensor, torch.Tensor) and tensor.device.type == "meta":
                assert tensor.dtype not in (torch.float64, torch.complex128), f"{func} in double precision"
        return result


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> TextToAudio:
    return TextToAudio.from_pretrained(tiny_model(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def accelerator(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # "meta" has none
    with NoDoublePrecision():
        yield torch.device("meta")


@pytest.mark.parametrize("sampler", SAMPLERS.names())
def test_diffusion(model: TextToAudio, accelerator: torch.device, sampler: str) -> None:
    network = model.network.to(accelerator)
    condition = torch.zeros(2, network.config.condition_dim, device=accelerator)
    velocity = GuidedVelocity(network, *classifier_free(condition, condition[0], 3.0), 1.0, 25, torch.float32)
    latents = torch.zeros(2, network.config.latent_dim, 60, device=accelerator)
    assert SAMPLERS.get(sampler)(velocity, latents, timesteps(3)).device.type == "meta"


def test_autoencoder(model: TextToAudio, accelerator: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    autoencoder: Autoencoder = model.autoencoder.to(accelerator)
    latents = autoencoder.encode(torch.zeros(2, 8000, device=accelerator))
    assert latents.device.type == "meta"
    # phases are summed on the CPU on purpose, and meta tensors have no values to copy there
    tones = autoencoder.decoder.tones
    monkeypatch.setattr(Decoder, "tone_phase", lambda _, x: torch.zeros(*x.shape[:2], tones, device=x.device))
    assert autoencoder.decode(latents, [0, 1]).device.type == "meta"


def test_phases_come_back_in_single_precision(model: TextToAudio) -> None:
    decoder = Autoencoder(model.autoencoder.config).decoder
    spectra = torch.zeros(1, 8, 3 * decoder.bins + 2 * decoder.tones)
    assert decoder.tone_phase(spectra).dtype == torch.float32


def test_clap(model: TextToAudio, accelerator: torch.device) -> None:
    clap: Clap = model.clap.to(accelerator)
    features = clap.audio_tower.front_end(torch.zeros(2, clap.window, device=accelerator))
    assert clap.project_audio(features).device.type == "meta"
    tokens = torch.ones(2, 5, dtype=torch.long, device=accelerator)
    assert clap.project_text(tokens, tokens).device.type == "meta"
