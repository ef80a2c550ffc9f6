"""The audio teacher `aisfx`: a convolutional network trained to index commercial sound-effects libraries.

Ma & Lerch, "Representation Learning for the Automatic Indexing of Sound Effects Libraries", ISMIR 2022. Its weights
(model X-Sequential-CE) are in the PyPI package `aisfx` 0.1.2: code under the MIT licence, model under CC BY 4.0, which
asks whoever publishes a network trained with it to name it. The network (after Kong et al. 2018, arXiv 1808.00773) and
the front end are written anew here. The libraries that it was trained on are not public; they may hold recordings that
public benchmarks such as ESC-50 hold too.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

from clapgen.audio.waveform import mono_samples, resample
from clapgen.devices import inference
from clapgen.embedders import EMBEDDERS
from clapgen.errors import ClapgenError
from clapgen.files import atomic_path

SAMPLE_RATE = 44100
WINDOW, HOP, MELS = 2048, 1024, 96
BLOCK, BLOCK_HOP = 100, 50  # frames: 2.3 s and half of it
LARGEST = 9.457798957824707  # log-mel that the network was given as 1
BLOCKS_PER_BATCH = 32

CHECKPOINT = "aisfx/models/checkpoint.pth"  # in the wheel
CHECKPOINT_SHA256 = "499ea75909c932a2f94c35fa722fa4fabc5bcb7e84917209cc5f7402627b7eb5"
DOWNLOAD = "pip download --no-deps aisfx==0.1.2"


class AisfxNetwork(nn.Module):
    """Normalised log-mel blocks (blocks, frames, 96) to features (blocks, 512): mean over mels, maximum over frames."""

    def __init__(self) -> None:
        super().__init__()
        widths = [1, 64, 128, 256, 512]
        for index in range(1, 5):
            setattr(self, f"conv_block{index}", _Block(widths[index - 1], widths[index], pool=2 if index < 4 else 1))

    def forward(self, log_mel: Tensor) -> Tensor:
        hidden = log_mel[:, None]  # (blocks, 1, frames, mels)
        for block in self.children():
            hidden = block(hidden)
        return hidden.mean(dim=3).amax(dim=2)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, pool: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.pool = pool

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(hidden))))))
        return F.max_pool2d(hidden, self.pool) if self.pool > 1 else hidden


@EMBEDDERS.register("aisfx")
class Aisfx:
    """Embeds sounds as the `aisfx` package does: the mean of the features of half-overlapping blocks of 2.3 s.

    Args:
        checkpoint: the package's wheel, its folder, its `checkpoint.pth`, or a file written by `convert`; the installed
            package if empty.

    Raises:
        ClapgenError: `checkpoint` holds no such weights, or others than those of aisfx 0.1.2.
    """

    name = "aisfx"
    sample_rate = SAMPLE_RATE
    dim = 512
    window_policy = "peak 1; mean of half-overlapping blocks of 100 frames of 1024 at 44100 Hz; rest left out"

    def __init__(self, checkpoint: str | Path = "", device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        state = load_weights(checkpoint)
        self.network = AisfxNetwork().eval()
        self.network.load_state_dict(state)
        self.network.to(self.device)
        self.filters = torch.from_numpy(htk_filters(SAMPLE_RATE, WINDOW, MELS)).float()
        self.hash = hashlib.sha256(b"".join(state[key].numpy().tobytes() for key in sorted(state))).hexdigest()[:12]

    def embed_audio(self, waveforms: Sequence[Any], sample_rate: int) -> Tensor:
        """Embeddings (n, 512) float32 of mono waveforms (samples,); all values are >= 0."""
        frames = [self.embed_frames(waveform, sample_rate) for waveform in waveforms]
        return torch.stack([rows.mean(0) for rows in frames]) if frames else torch.zeros(0, self.dim)

    def embed_frames(self, waveform: Any, sample_rate: int) -> Tensor:
        """Features (blocks, 512) of the blocks of one waveform, 1.2 s apart."""
        samples = torch.from_numpy(resample(mono_samples(waveform), sample_rate, SAMPLE_RATE))
        blocks = blocks_of(self.log_mel(samples)).split(BLOCKS_PER_BATCH)
        with inference(self.network):
            return torch.cat([self.network(part.to(self.device)).float().cpu() for part in blocks])

    def log_mel(self, waveform: Tensor) -> Tensor:
        """Log-mel (frames, 96) of a waveform (samples,) scaled to a peak of 1; about 0 to 1, silence is 0."""
        waveform = waveform / waveform.abs().max().clamp(min=1e-12) if len(waveform) else waveform
        padded = F.pad(waveform, (WINDOW // 2, WINDOW // 2))
        spectrum = torch.stft(padded, WINDOW, HOP, window=torch.hann_window(WINDOW), center=False, return_complex=True)
        mel = self.filters @ (spectrum.real.square() + spectrum.imag.square())
        return torch.log10(1 + 10000 * mel).T / LARGEST


def blocks_of(log_mel: Tensor) -> Tensor:
    """Half-overlapping blocks (blocks, 100, mels) of a log-mel (frames, mels).

    The rest after the last whole block is left out; what is shorter than one block is padded with silence.
    """
    if len(log_mel) < BLOCK:
        return F.pad(log_mel, (0, 0, 0, BLOCK - len(log_mel)))[None]
    return log_mel.unfold(0, BLOCK, BLOCK_HOP).transpose(1, 2)


def htk_filters(sample_rate: int, n_fft: int, n_mels: int) -> np.ndarray:
    """Triangular filters (n_mels, 1 + n_fft // 2) on HTK's mel scale from 0 Hz to half the sample rate.

    The weights of each filter sum to 1.
    """
    frequencies = np.linspace(0, sample_rate / 2, 1 + n_fft // 2)
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, n_mels + 2) / 2595) - 1)
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (frequencies - lower) / (centre - lower), (upper - frequencies) / (upper - centre)
    triangles = np.maximum(0, np.minimum(rising, falling))
    return triangles / np.maximum(triangles.sum(1, keepdims=True), 1e-12)


def load_weights(checkpoint: str | Path) -> dict[str, Tensor]:
    """The state dict of `AisfxNetwork`, float32; arguments and errors as in `Aisfx`."""
    path = Path(checkpoint).expanduser() if checkpoint else _installed()
    if not path.exists():
        raise ClapgenError(f"{path} does not exist; give the wheel of aisfx: {DOWNLOAD}")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else _read_checkpoint(path)
    except (OSError, SafetensorError) as error:
        raise ClapgenError(f"cannot read the weights {path}: {error}") from error
    with torch.device("meta"):
        expected = AisfxNetwork().state_dict()
    if {key: tensor.shape for key, tensor in state.items()} != {key: t.shape for key, t in expected.items()}:
        raise ClapgenError(f"{path} does not hold the weights of aisfx; get them with: {DOWNLOAD}")
    return state


def convert(checkpoint: str | Path, output: str | Path, overwrite: bool = False) -> None:
    """Write the weights of the feature network (without the heads) as safetensors."""
    about = {"licence": "CC BY 4.0", "source": "PyPI aisfx 0.1.2, Ma & Lerch, ISMIR 2022"}
    state = {key: tensor.contiguous() for key, tensor in load_weights(checkpoint).items()}
    with atomic_path(output, overwrite=overwrite) as temporary:
        temporary.write_bytes(save(state, metadata=about))


def _installed() -> Path:
    package = importlib.util.find_spec("aisfx")  # not imported: it needs old versions of its dependencies
    if package is None or package.origin is None:
        raise ClapgenError(f"the teacher aisfx needs its weights: {DOWNLOAD}, then name the wheel: aisfx:FILE.whl")
    return Path(package.origin).parent


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the pickled checkpoint: only the published one, and only as tensors and numpy integers."""
    content = _checkpoint_of(path)
    if hashlib.sha256(content).hexdigest() != CHECKPOINT_SHA256:
        raise ClapgenError(f"{path} is not the checkpoint of aisfx 0.1.2; get it with: {DOWNLOAD}")
    integer = np.dtype("int64")
    allowed: list[Any] = [(np.int64(0).__reduce__()[0], "numpy.core.multiarray.scalar"), np.dtype, type(integer)]
    with torch.serialization.safe_globals(allowed):
        weights, _ = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    prefix = "embedding_net."
    return {key.removeprefix(prefix): tensor for key, tensor in weights.items() if key.startswith(prefix)}


def _checkpoint_of(path: Path) -> bytes:
    try:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                return wheel.read(CHECKPOINT)
        return next(file for file in _candidates(path) if file.is_file()).read_bytes()
    except (OSError, KeyError, zipfile.BadZipFile, StopIteration) as error:
        raise ClapgenError(f"{path} does not hold {CHECKPOINT}; get its wheel with: {DOWNLOAD}") from error


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    for depth in range(3):
        yield path.joinpath(*Path(CHECKPOINT).parts[depth:])
