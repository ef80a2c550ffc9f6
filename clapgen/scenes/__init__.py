"""Scenes: mixtures and sequences of clips whose content is known exactly, with sentences that say so.

Their hard negatives belong to them: sentences that are nearly right, and counterfactual twins (the same clips in
another order, one exchanged, one more).
"""

from clapgen.scenes.scene import Event, Negative, Scene

__all__ = ["Event", "Negative", "Scene"]
