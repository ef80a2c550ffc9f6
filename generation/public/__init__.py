"""Public generators in the layouts of their authors, behind the interface of clapgen's own: see `load_generator`."""

from generation.public.checkpoints import Checkpoint, is_public, open_checkpoint
from generation.public.loading import find_generator, load_generator

__all__ = ["Checkpoint", "find_generator", "is_public", "load_generator", "open_checkpoint"]
