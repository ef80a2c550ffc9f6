"""The settings of every bridge, by its name in a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class NoiseConfig:
    """`variance` is per dimension, as in the papers' code; `std_of_length` (if > 0) instead sets the noise's length
    beside the embedding's 1, which means the same at every width."""

    variance: float = 0.003
    std_of_length: float = 0.0


@dataclass
class CalibratedNoiseConfig:
    """How many audio–text pairs the variance is read from."""

    pairs: int = 30


@dataclass
class AdapterConfig:
    """A residual MLP of `blocks` blocks `width` wide, which is told to undo noise of this variance per dimension."""

    width: int = 512
    blocks: int = 2
    variance: float = 0.015


@dataclass
class MeanShiftConfig:
    """Nothing to set but whether the result has length 1 again."""

    normalise: bool = True


@dataclass
class MemoryConfig:
    """`temperature` of the softmax over the memory, to which `prior` adds how often sentences are drawn; at most `size`
    different sentences are kept (0: all)."""

    temperature: float = 0.03
    prior: bool = True
    normalise: bool = True
    size: int = 10_000
    top_k: int = 0


@dataclass
class SoftPromptConfig:
    """How often, and by which of its `neighbours` nearest other captions, an embedding is replaced; then noise."""

    probability: float = 0.5
    neighbours: int = 5
    variance: float = 0.003


@dataclass
class HardPromptConfig:
    """`source` is labels or captions; `count` of them are retrieved, and each is masked with `mask` in training.

    Of captions, `size` are kept (0: all), and in training those with a cosine above `below` are not retrieved.
    """

    source: str = "labels"
    count: int = 4
    mask: float = 0.4
    size: int = 0
    below: float = 1.0


@dataclass
class DiffusionConfig:
    """Sizes of the denoiser, its schedule, and where an audio embedding enters it (`start` of `steps`).

    `signal` is the length of a clean embedding over that of the noise. With `paired`, audio-text pairs are learned
    from, and `topology` weighs that loss. In training the decoder sees text that was noised to `noise_step` and
    denoised again (0: text as it is).
    """

    width: int = 512
    blocks: int = 3
    steps: int = 1000
    start: int = 400
    sampling_steps: int = 5
    signal: float = 0.22
    paired: bool = False
    topology: float = 1.0
    noise_step: int = 0


@dataclass
class BridgesConfig:
    """Which bridges there are between CLAP and the decoder, in order, and their settings.

    `names` are used in training and, unless told otherwise, on audio; `offered` are fitted besides, to be chosen on
    audio by `clapgen caption --bridge`.
    """

    names: list[str] = field(default_factory=lambda: ["noise"])
    offered: list[str] = field(default_factory=list)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    noise_calibrated: CalibratedNoiseConfig = field(default_factory=CalibratedNoiseConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    mean_shift: MeanShiftConfig = field(default_factory=MeanShiftConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    soft_prompt: SoftPromptConfig = field(default_factory=SoftPromptConfig)
    hard_prompt: HardPromptConfig = field(default_factory=HardPromptConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
