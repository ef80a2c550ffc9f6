"""Scenes: mixtures and sequences of clips whose content is known exactly, with sentences that say so.

Their hard negatives belong to them: sentences that are nearly right, and counterfactual twins (the same clips in
another order, one exchanged, one more).
"""

from clapgen.scenes.clips import SceneClip, scene_clip, scene_clips
from clapgen.scenes.sampler import SceneSampler
from clapgen.scenes.scene import Event, Negative, Scene
from clapgen.scenes.stage import SceneOptions

__all__ = ["Event", "Negative", "Scene", "SceneClip", "SceneOptions", "SceneSampler", "scene_clip", "scene_clips"]
