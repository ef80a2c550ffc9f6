"""The sounds of a training batch: crops, mixtures and scenes on log-mels, augmented."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from clapgen.audio.mel import LogMel
from clapgen.scenes import Scene
from clapgen.scenes.rendering import FAR_TAIL, FAR_WET_DB, NEAR_WET_DB, between
from clapgen.training.seeds import step_seed
from pretrain.data import augment
from pretrain.data.log_mels import LogMels


@dataclass
class AugmentConfig:
    """Augmentation of the audio.

    Crops are `crop_seconds` long (0: a whole window) until the share `whole_from` of the steps, then whole windows:
    most of the training at a fraction of the cost (progressive resizing). `gain_db` and `mix_snr_db` are ranges in dB;
    `mix_probability` is the share of rows that are mixtures of two clips; `roll` shifts each row by a random time.
    `speed` is a range of playing speeds, `pitch_bands` the largest shift in mel bands, `equaliser_db` the largest
    deviation of a random filter; `room_probability`, `low_pass_probability` and `noise_probability` are shares of rows,
    `noise_snr_db` a range. The masks are SpecAugment's, their widths in mel frames and mel bands.
    """

    crop_seconds: float = 0.0
    whole_from: float = 0.8
    gain_db: list[float] = field(default_factory=lambda: [-12.0, 6.0])
    roll: bool = True
    mix_probability: float = 0.5
    mix_snr_db: list[float] = field(default_factory=lambda: [-6.0, 6.0])
    speed: list[float] = field(default_factory=lambda: [1.0, 1.0])
    pitch_bands: float = 0.0
    equaliser_db: float = 0.0
    room_probability: float = 0.0
    low_pass_probability: float = 0.0
    noise_probability: float = 0.0
    noise_snr_db: list[float] = field(default_factory=lambda: [5.0, 30.0])
    time_masks: int = 2
    time_width: int = 80
    frequency_masks: int = 2
    frequency_width: int = 12


class Sounds:
    """Makes the log-mels of a batch, all `frames` long, from the clips of a `LogMels`."""

    def __init__(self, log_mels: LogMels, options: AugmentConfig, window: int, front_end: LogMel) -> None:
        self.log_mels, self.options = log_mels, options
        self.frames = window // front_end.hop_length + 1
        crop = round(options.crop_seconds * front_end.sample_rate) or window
        self.short_frames = min(crop, window) // front_end.hop_length + 1
        self.rate = front_end.sample_rate / front_end.hop_length  # mel frames a second
        self.level = float(torch.as_tensor(log_mels.levels).median())

    def batch(
        self, first: list[int], second: list[int], short: bool, generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Crops of the clips `first` (batch, n_mels, frames), some mixed with those of `second`; which (batch,); and
        the middle of each crop in its clip (batch,) in seconds, NaN if it is all of the clip.

        They are `crop_seconds` long if `short`, a whole window otherwise.
        """
        options, frames = self.options, self.short_frames if short else self.frames
        mixed = torch.rand(len(first), generator=generator) < options.mix_probability
        sounds, middles = self._played(first, frames, generator)
        if mixed.any():
            others, _ = self._played([b for b, m in zip(second, mixed, strict=True) if m], frames, generator)
            mixture = augment.mix_at_snr(sounds[mixed], others, generator, *options.mix_snr_db)
            sounds = sounds.index_put((mixed,), mixture)
        sounds = augment.random_roll(sounds, generator) if options.roll else sounds
        return self.disturbed(sounds, generator), mixed, middles

    def _played(self, indices: list[int], frames: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Crops at random speeds and pitches, and their middles in seconds."""
        options = self.options
        slow, fast = options.speed
        needed = int((frames - 1) * fast) + 1
        counts = [needed] * len(indices)
        starts = self.log_mels.starts_of_crops(indices, counts, generator)
        crops = torch.stack(self.log_mels.crops(indices, counts, starts))
        whole = torch.as_tensor(self.log_mels.lengths[indices] <= needed)
        middles = ((torch.tensor(starts) + needed / 2) / self.rate).masked_fill(whole, float("nan"))
        if (slow, fast) == (1.0, 1.0) and not options.pitch_bands:
            return crops, middles
        return augment.random_speed(crops, generator, frames, (slow, fast), options.pitch_bands), middles

    def disturbed(self, log_mel: Tensor, generator: Generator) -> Tensor:
        """Log-mels (batch, n_mels, frames) after all augmentation that keeps what sounds when."""
        options = self.options
        if options.room_probability:
            log_mel = augment.random_room(log_mel, generator, options.room_probability)
        if options.equaliser_db:
            log_mel = augment.random_equaliser(log_mel, generator, options.equaliser_db)
        if options.low_pass_probability:
            log_mel = augment.random_low_pass(log_mel, generator, options.low_pass_probability)
        if options.noise_probability:
            log_mel = augment.random_noise(log_mel, generator, options.noise_probability, *options.noise_snr_db)
        return augment.spec_augment(
            augment.random_gain(log_mel, generator, *options.gain_db),
            generator,
            options.time_masks,
            options.time_width,
            options.frequency_masks,
            options.frequency_width,
        )

    def scene(self, scene: Scene) -> Tensor:
        """A scene (n_mels, frames) of this corpus, without augmentation; what follows it is silence."""
        mels = self.log_mels
        canvas = torch.full((mels.data.shape[1], self.frames), mels.floor_db)
        for event in scene.events:
            start = round(event.start * self.rate)
            count = min(round(event.duration * self.rate), self.frames - start)
            sound = mels.frames(event.clip, round(event.clip_start * self.rate), count)
            sound = sound + (self.level - float(mels.levels[event.clip]) + event.gain_db)
            if event.distance:
                sound = self._distant(sound, event.distance, self.frames - start)
            stop = start + sound.shape[1]
            canvas[:, start:stop] = augment.add_power(canvas[:, start:stop], sound)
        return canvas

    def whole(self, clip: int) -> Tensor:
        """The first window (n_mels, frames) of a clip, followed by silence."""
        log_mel = self.log_mels.frames(clip, 0, self.frames)
        return torch.nn.functional.pad(log_mel, (0, self.frames - log_mel.shape[1]), value=self.log_mels.floor_db)

    def _distant(self, sound: Tensor, distance: float, longest: int) -> Tensor:
        """With a tail that may last to `longest` frames, and without high frequencies."""
        tail = round(FAR_TAIL * self.rate)
        room = min(longest, sound.shape[1] + tail)
        padded = torch.nn.functional.pad(sound, (0, room - sound.shape[1]), value=self.log_mels.floor_db)
        wet = torch.tensor([between(NEAR_WET_DB, FAR_WET_DB, distance)])
        echoing = augment.reverberated(padded[None], torch.tensor([float(tail)]), wet)
        cut = torch.tensor(sound.shape[0] * (1 - 0.6 * distance))
        return augment.low_passed(echoing, cut)[0]


def epoch_rows(index: int, size: int, total: int, seed: int) -> list[int]:
    """The `size` clips of batch number `index` when all `total` clips are drawn in turn, in a new order each epoch.

    What is left over at the end of an epoch is not drawn in it, so that a batch has no clip twice unless it must.
    """
    if not size:
        return []
    epoch, number = divmod(index, max(1, total // size))
    order = torch.randperm(total, generator=Generator().manual_seed(step_seed(seed, epoch, 0)))
    return order.repeat(-(-size // total))[number * size : (number + 1) * size].tolist()


def partners(first: list[int], total: int, generator: Generator, never: Collection[int] = ()) -> list[int]:
    """A random clip for each of `first`, none of them among `first` nor drawn twice unless there are too few.

    `never` are clips that are no partners.
    """
    taken = {*first, *never}
    others = [i for i in torch.randperm(total, generator=generator).tolist() if i not in taken] + first
    return [others[i % len(others)] for i in range(len(first))]
