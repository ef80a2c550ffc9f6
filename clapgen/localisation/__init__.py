"""Where in a sound something is: probability curves over time, and segments.

>>> from clapgen import Clap
>>> from clapgen.localisation import locate
>>> found = locate(Clap.from_pretrained(), "recording.wav", ["dog bark", "rain"])
"""

from clapgen.localisation.curves import CurveReader
from clapgen.localisation.locate import Located, Location, locate
from clapgen.localisation.probabilities import CosineProbability, FrameProbability, HeadProbability, frame_probability
from clapgen.localisation.segments import Segment, SegmentRules, find_segments

__all__ = [
    "CosineProbability",
    "CurveReader",
    "FrameProbability",
    "HeadProbability",
    "Located",
    "Location",
    "Segment",
    "SegmentRules",
    "find_segments",
    "frame_probability",
    "locate",
]
