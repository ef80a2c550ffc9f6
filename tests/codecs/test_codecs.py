"""EnCodec and DAC as codecs: transformers' numbers, waveforms of the same length, and lower bandwidths."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clapgen.codecs import Codec, Codes, load_codec
from clapgen.errors import ClapgenError

RATE = 8000


def encodec(folder: Path, stereo: bool = False) -> Path:
    """A tiny EnCodec; the stereo one in overlapping chunks with a loudness each, as the one at 48 kHz."""
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)
    config = EncodecConfig(
        sampling_rate=RATE,
        audio_channels=1 + stereo,
        normalize=stereo,
        chunk_length_s=1.0 if stereo else None,
        overlap=0.01 if stereo else None,
        norm_type="time_group_norm" if stereo else "weight_norm",
        use_causal_conv=not stereo,
        hidden_size=12,
        num_filters=4,
        num_lstm_layers=1,
        upsampling_ratios=[5, 4],
        codebook_size=16,
        target_bandwidths=[1.6, 3.2, 6.4],
    )
    network = EncodecModel(config).eval()
    with torch.no_grad():  # untrained codebooks are zeros: these are differences of latents
        latents = network.encoder(torch.randn(1, 1 + stereo, 2 * RATE))[0].T
        for layer in network.quantizer.layers:
            some = latents[torch.randperm(len(latents))[:16]]
            layer.codebook.embed.copy_(some if layer is network.quantizer.layers[0] else some - some.mean(0))
    network.save_pretrained(folder)
    return folder


def dac(folder: Path) -> Path:
    from transformers import DacConfig, DacModel

    torch.manual_seed(0)
    config = DacConfig(
        encoder_hidden_size=4,
        decoder_hidden_size=32,
        downsampling_ratios=[2, 4],
        n_codebooks=3,
        codebook_size=16,
        sampling_rate=RATE,
    )
    network = DacModel(config).eval()
    for parameter in network.parameters():  # untrained, they are so small that nothing is left of a sound
        if parameter.ndim > 1:
            parameter.data *= 5
    network.save_pretrained(folder)
    return folder


BUILDERS = {"encodec": encodec, "stereo": lambda folder: encodec(folder, True), "dac": dac}


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def codec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Codec:
    return load_codec(str(BUILDERS[request.param](tmp_path_factory.mktemp("codecs") / request.param)))


def noise(seconds: float, channels: int = 1) -> np.ndarray:
    samples = 0.1 * np.random.default_rng(0).standard_normal((channels, round(seconds * RATE))).astype(np.float32)
    return samples if channels > 1 else samples[0]


def theirs(codec: Any, waveform: np.ndarray) -> np.ndarray:
    """What transformers gives for a sound that goes through the codec."""
    values = torch.from_numpy(np.atleast_2d(waveform)).expand(codec.channels, -1)[None]
    settings = {"bandwidth": codec.bandwidths[-1]} if codec.model_type == "encodec" else {}
    with torch.no_grad():
        return codec.network(values, **settings).audio_values.reshape(codec.channels, -1).numpy()


@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.33])
def test_sounds_come_back_as_transformers_gives_them_and_of_the_same_length(codec: Codec, seconds: float) -> None:
    clip = noise(seconds)
    codes = codec.encode(clip, RATE)
    assert codes.tokens.dtype == torch.int64
    assert len(codes.tokens) == codec.codebooks
    assert codes.tokens.shape[1] >= seconds * codec.frame_rate
    assert len(codes.tokens.unique()) > 4
    decoded = codec.decode(codes)
    assert decoded.shape == (codec.channels, len(clip))
    np.testing.assert_allclose(decoded, theirs(codec, clip)[:, : len(clip)], atol=1e-5)


def test_a_lower_bandwidth_is_the_first_codebooks(codec: Codec) -> None:
    clip = noise(0.7)
    whole = codec.encode(clip, RATE)
    for number, bandwidth in enumerate(codec.bandwidths):
        codes = codec.encode(clip, RATE, bandwidth)
        assert torch.equal(codes.tokens, whole.tokens[: len(codes.tokens)])
        assert len(codes.tokens) == (1 + number if "dac" in codec.name else codec.codebooks >> (2 - number))
        assert codec.decode(codes).shape == (codec.channels, len(clip))


def test_channels_and_rates(codec: Codec) -> None:
    both = noise(0.5, channels=2)
    codes = codec.encode(both, RATE)
    if codec.channels == 1:
        assert torch.equal(codes.tokens, codec.encode(both.mean(0), RATE).tokens)
    else:
        assert not torch.equal(codes.tokens, codec.encode(both[0], RATE).tokens)
    assert codec.encode(noise(1.0), 2 * RATE).samples == RATE / 2


def test_what_cannot_be_encoded_or_decoded_is_named(codec: Codec, tmp_path: Path) -> None:
    with pytest.raises(ClapgenError, match="no bandwidth of 99 kbit/s; choose one of"):
        codec.encode(noise(0.5), RATE, 99)
    for wrong in (np.zeros(0, np.float32), np.full(100, np.nan, np.float32), np.zeros((3, 100), np.float32)):
        with pytest.raises(ClapgenError):
            codec.encode(wrong, RATE)
    codes = codec.encode(noise(0.5), RATE)
    with pytest.raises(ClapgenError, match="must be from 0 to 15"):
        codec.decode(Codes(codes.tokens + 16, codes.samples, codes.scales, codes.chunks))
    with pytest.raises(ClapgenError, match="codebooks, frames"):
        codec.decode(Codes(codes.tokens[:0], codes.samples))
    with pytest.raises(ClapgenError, match="not a codec"):
        load_codec(str(tmp_path))


def test_a_codec_saves_again(codec: Codec, tmp_path: Path) -> None:
    codec.save_pretrained(tmp_path)
    again = load_codec(str(tmp_path))
    assert torch.equal(again.encode(noise(0.5), RATE).tokens, codec.encode(noise(0.5), RATE).tokens)
