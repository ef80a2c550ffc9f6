"""clapgen: one CLAP embedding space, and what can be made from it: sound from text, search, scores."""

__version__ = "0.1.0"
