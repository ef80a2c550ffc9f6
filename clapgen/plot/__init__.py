"""Images: spectrograms, probability curves over them, and confusion matrices."""

from clapgen.plot.colours import magma
from clapgen.plot.confusion import confusion_png
from clapgen.plot.localisation import LocationPicture
from clapgen.plot.spectrogram import spectrogram_png, spectrogram_strip

__all__ = ["LocationPicture", "confusion_png", "magma", "spectrogram_png", "spectrogram_strip"]
