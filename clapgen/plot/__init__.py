"""Images: spectrograms and confusion matrices."""

from clapgen.plot.colours import magma
from clapgen.plot.confusion import confusion_png
from clapgen.plot.spectrogram import spectrogram_png, spectrogram_strip

__all__ = ["confusion_png", "magma", "spectrogram_png", "spectrogram_strip"]
