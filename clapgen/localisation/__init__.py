"""Where in a sound something is: probability curves over time, and segments.

>>> from clapgen import Clap
>>> from clapgen.localisation.locating import locate
>>> found = locate(Clap.from_pretrained(), "recording.wav", ["dog bark", "rain"])
>>> [(segment.start, segment.end, segment.probability) for segment in found.queries[0].segments]
"""
