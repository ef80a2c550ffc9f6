"""Which bridges a captioner has, and the settings of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from captioning.bridges.adapter import AdapterConfig
from captioning.bridges.diffusion import DiffusionBridgeConfig
from captioning.bridges.hard_prompt import HardPromptConfig
from captioning.bridges.mean_shift import MeanShiftConfig
from captioning.bridges.memory import MemoryConfig
from captioning.bridges.noise import CalibratedNoiseConfig, NoiseConfig
from captioning.bridges.soft_prompt import SoftPromptConfig


@dataclass
class BridgesConfig:
    """The bridges between CLAP and the decoder, in order, and the settings of each.

    The decoder is trained behind `names`, which are also used on audio by default. `extra` bridges are fitted and
    stored too, so that `clapgen caption --bridge` can use them on audio.
    """

    RENAMED_KEYS: ClassVar = {"offered": "extra"}

    names: list[str] = field(default_factory=lambda: ["noise"])
    extra: list[str] = field(default_factory=list)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    noise_calibrated: CalibratedNoiseConfig = field(default_factory=CalibratedNoiseConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    mean_shift: MeanShiftConfig = field(default_factory=MeanShiftConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    soft_prompt: SoftPromptConfig = field(default_factory=SoftPromptConfig)
    hard_prompt: HardPromptConfig = field(default_factory=HardPromptConfig)
    diffusion: DiffusionBridgeConfig = field(default_factory=DiffusionBridgeConfig)
