"""The configuration of an autoencoder: the dataclass behind its `config.yaml`."""

from dataclasses import dataclass

from clapgen.errors import ClapgenError


@dataclass
class AutoencoderConfig:
    """Sizes of the encoder and the decoder.

    Both work on frames of `hop_length` samples; a latent frame spans `frames_per_latent` frames. Depths are numbers of
    ConvNeXt blocks: those with `slow` in their name run on latent frames, the others on frames.
    """

    sample_rate: int = 32_000
    hop_length: int = 320  # samples per frame: 100 frames per second
    frames_per_latent: int = 4  # 25 latent frames per second
    latent_dim: int = 64
    n_mels: int = 128
    mel_n_fft: int = 1024
    mels_per_frame: int = 2  # log-mel columns per frame, for the timing of attacks
    fine_mels: int = 256  # a second log-mel, one column per frame, whose long window resolves partials
    fine_n_fft: int = 2560
    encoder_width: int = 256
    encoder_depth: int = 2
    encoder_slow_width: int = 320
    encoder_slow_depth: int = 2
    decoder_slow_width: int = 384
    decoder_slow_depth: int = 1
    decoder_width: int = 384
    decoder_depth: int = 6
    expansion: int = 3
    kernel_size: int = 7
    n_fft: int = 1280  # window of the inverse STFT, a multiple of hop_length

    def __post_init__(self) -> None:
        step = 2 * self.mels_per_frame
        if self.hop_length % step:
            nearest = max(1, round(self.hop_length / step)) * step
            raise ClapgenError(
                f"hop_length {self.hop_length} must be a multiple of 2 * mels_per_frame = {step}, such as {nearest}."
            )
        if self.n_fft % (2 * self.hop_length):
            raise ClapgenError(f"n_fft {self.n_fft} must be a multiple of 2 * hop_length {self.hop_length}.")
        if self.fine_n_fft > 2 * self.samples_per_latent:
            raise ClapgenError(f"fine_n_fft {self.fine_n_fft} is longer than two latent frames; choose a smaller one.")
        if self.kernel_size % 2 == 0:
            raise ClapgenError(f"kernel_size {self.kernel_size} is even; choose an odd one.")

    @property
    def samples_per_latent(self) -> int:
        """Samples of one latent frame (1280 at the defaults: 40 ms)."""
        return self.hop_length * self.frames_per_latent
