"""Scenes drawn from clips: they fit the window, their sentences are true of them, their negatives are not."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings import composition_items
from clapgen.scenes import Scene, SceneClip, SceneOptions, SceneSampler
from clapgen.scenes.forms import ANY, HELD_OUT_WORDS, NOUNS
from clapgen.scenes.kinds import GAPS, KINDS, QUIET_DB

CLIPS = [
    SceneClip(("dog", "bark"), ("A dog barks.", "The barking of a hound"), 0.6, "r0"),
    SceneClip(("dog", "bark"), ("A dog barks nearby",), 0.5, "r1"),
    SceneClip(("rain",), ("Rain falls",), 10.0, "r2"),
    SceneClip(("car horn", "vehicle"), ("A car honks",), 1.0, "r3"),
    SceneClip(("church bells", "bell"), (), 7.0, "r4"),
    SceneClip(("sheep", "bleat"), ("A sheep bleats twice",), 2.0, "r5"),
    SceneClip(("siren",), ("A siren wails, followed by shouts",), 4.0, "r6"),
    SceneClip(("piano", "note"), ("A piano plays the note C4",), 1.1, "r7"),
]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scenes(count: int, kind: str | None = None, window: float = 5.0, **options: float) -> list[Scene]:
    sampler, random = SceneSampler(CLIPS, SceneOptions(**options), window), generator()
    return [sampler.draw(random, kind=kind) for _ in range(count)]


def everything(scene: Scene) -> list[Scene]:
    return [scene, *scene.twins]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window", [3.0, 5.0])
def test_events_lie_within_the_scene_the_window_and_their_clips(kind: str, window: float):
    for scene in scenes(60, kind, window):
        for each in everything(scene):
            assert 0 < each.duration <= window + 1e-6
            assert min(event.start for event in each.events) == 0
            for event in each.events:
                clip = CLIPS[event.clip]
                assert event.start >= 0 and event.end <= each.duration + 1e-6
                assert event.duration >= 0.05 and event.label == clip.names[0]
                assert event.clip_start >= 0 and event.clip_start + event.duration <= clip.seconds + 1e-6


def test_scenes_are_a_pure_function_of_the_generator():
    assert scenes(30) == scenes(30)
    first, second = SceneSampler(CLIPS), SceneSampler(CLIPS)
    first.draw(generator(7))  # what was drawn before does not matter
    assert first.draw(generator(1)) == second.draw(generator(1)) != second.draw(generator(2))


def test_captions_negatives_and_twins_differ():
    for scene in scenes(200):
        assert 2 <= len(scene.captions) <= 4 or len({event.label for event in scene.events}) == 1
        assert scene.captions
        assert not {n.caption for n in scene.negatives} & set(scene.captions)
        for twin in scene.twins:
            assert not set(twin.captions) & set(scene.captions)


def test_sequences_follow_each_other_and_their_twins_have_another_order():
    for scene in scenes(60, "sequence"):
        assert all(a.end <= b.start + 1e-9 for a, b in pairwise(scene.events))
        [twin] = scene.twins
        clips, swapped = [e.clip for e in scene.events], [e.clip for e in twin.events]
        assert clips != swapped and sorted(clips) == sorted(swapped) and twin.duration == pytest.approx(scene.duration)
        assert {e.clip: e.duration for e in scene.events} == {e.clip: e.duration for e in twin.events}


def test_overlaps_overlap_and_backgrounds_are_quieter():
    for scene in [scene for each in scenes(80, "overlap") for scene in everything(each)]:
        longest = max(scene.events, key=lambda event: event.duration)
        for event in scene.events:
            common = min(event.end, longest.end) - max(event.start, longest.start)
            assert common >= 0.3 * event.duration - 1e-6
    for scene in scenes(40, "background"):
        low, high = sorted(event.gain_db for event in scene.events)
        assert QUIET_DB[0] <= low <= QUIET_DB[1] and high == 0
        assert {e.clip: e.gain_db for e in scene.events} != {e.clip: e.gain_db for e in scene.twins[0].events}


def test_the_count_is_what_the_sentence_says():
    words = {1: ("once", "single time"), 2: ("twice", "two times"), 3: ("three times",), 4: ("four times",)}
    for scene in scenes(60, "repeated"):
        for each in everything(scene):
            said = words[len(each.events)]
            assert all(any(word in caption.lower() for word in said) for caption in each.captions)
            gaps = [b.start - a.end for a, b in pairwise(each.events)]
            assert all(GAPS[0] - 1e-6 <= gap <= GAPS[1] for gap in gaps)
        for negative in scene.negatives:
            if negative.kind == "count":
                assert not any(word in negative.caption.lower() for word in words[len(scene.events)])


def test_sounds_that_share_a_label_or_a_synonym_never_count_as_different():
    clips = [*CLIPS, SceneClip(("hound bark",), (), 1.0), SceneClip(("bells",), (), 3.0)]
    clips.append(SceneClip(("storm",), ("Rain falls in a storm",), 3.0))  # its caption mentions another label
    together = [{0, 1, 8}, {4, 9}, {2, 10}]
    sampler, random = SceneSampler(clips), generator()
    for kind in ("sequence", "overlap", "background"):
        for _ in range(150):
            events = {event.clip for event in sampler.draw(random, kind=kind).events}
            assert all(len(events & same) <= 1 for same in together)


def test_clips_of_one_recording_are_not_mixed():
    clips = [replace(clip, recording="one") for clip in CLIPS[:4]] + [replace(CLIPS[4], recording="two")]
    sampler = SceneSampler(clips)
    assert all(4 in {e.clip for e in sampler.draw(generator(i), kind="sequence").events} for i in range(40))


def test_no_held_out_wording_is_ever_drawn():
    forms = [form for group in (ANY, NOUNS) for many in group.values() for form in many]
    said = [text for scene in scenes(400) for each in everything(scene) for text in each.captions]
    said += [negative.caption for scene in scenes(200) for negative in scene.negatives]
    assert not [text for text in (*forms, *said) if any(word in text.lower() for word in HELD_OUT_WORDS)]


def test_every_template_of_evaluation_has_a_held_out_word():
    kinds = [value for name, value in vars(composition_items).items() if name.endswith(("_TEMPLATE", "_TEMPLATES"))]
    templates = [text for kind in kinds for text in ((kind,) if isinstance(kind, str) else kind)]
    assert len(templates) > 8
    assert not [text for text in templates if not any(word in text.lower() for word in HELD_OUT_WORDS)]


def test_plain_captions_are_bare_names_in_the_order_of_the_events():
    names = [clip.names[0] for clip in CLIPS]
    for scene in scenes(40, "sequence", plain=1.0, absence=0.0):
        for caption in scene.captions:
            said = sorted((name for name in names if name in caption.lower()), key=caption.lower().index)
            assert list(dict.fromkeys(said)) == [event.label for event in scene.events]
            assert len(caption.split()) <= 6 + sum(len(name.split()) for name in said)


def test_captions_that_say_a_count_or_a_distance_themselves_are_not_used_where_they_would_contradict():
    clips = [SceneClip(("sheep",), ("A sheep bleats twice", "A far sheep"), 1.0), *CLIPS[2:4]]
    sampler = SceneSampler([replace(clip, sounds=1) for clip in clips])
    for kind in ("repeated", "distance"):
        said = [c for i in range(40) for c in sampler.draw(generator(i), kind=kind, first=0).captions]
        said = [text.lower() for text in said]
        assert not any(("a far sheep" if kind == "distance" else "bleats twice") in text for text in said)


def test_negatives_are_wrong_in_the_way_they_say():
    for scene in scenes(150, "sequence", three=0.0):
        kinds = Counter(negative.kind for negative in scene.negatives)
        assert kinds["order"] == kinds["relation"] == 1
    assert {n.kind for s in scenes(150) for n in s.negatives} >= {
        "order", "relation", "exchanged", "left_out", "added", "count", "loudness", "distance", "duration", "absence"
    }  # fmt: skip


def test_options_choose_the_kinds_and_the_first_clip_is_in_the_scene():
    zero = dict.fromkeys(KINDS, 0.0)
    assert {s.relation for s in scenes(20, **zero | {"overlap": 1.0})} == {"overlap"}
    sampler = SceneSampler(CLIPS)
    for first in range(len(CLIPS)):
        assert first in {event.clip for event in sampler.draw(generator(first), first=first).events}


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([SceneClip(("dog",), (), 1.0)] * 3, "only the label 'dog'"),
        ([SceneClip(("dog",), (), 1.0), SceneClip(("bark",), (), 1.0)], "no two clips that are different"),
        ([replace(clip, captions=("A sound",)) for clip in CLIPS], "all clips have the same caption, 'A sound'"),
        ([replace(clip, seconds=0.04) for clip in CLIPS], "at least 50 ms"),
        ([], "no clip can be used"),
    ],
)
def test_clips_that_make_no_scenes_are_one_clear_line(clips: list[SceneClip], message: str):
    with pytest.raises(ClapgenError, match=message) as raised:
        SceneSampler(clips)
    assert "\n" not in str(raised.value)


def test_one_sound_is_enough_for_kinds_of_one_sound():
    options = SceneOptions(sequence=0, overlap=0, background=0)
    sampler = SceneSampler([SceneClip(("dog",), (), 1.0)], options)
    assert {event.label for i in range(20) for event in sampler.draw(generator(i)).events} == {"dog"}


def test_clips_shorter_than_50_ms_are_skipped():
    sampler = SceneSampler([*CLIPS, SceneClip(("cat",), (), 0.049)])
    assert sampler.skipped == [len(CLIPS)]
    assert all(len(CLIPS) not in {e.clip for e in sampler.draw(generator(i)).events} for i in range(100))


@pytest.mark.parametrize("options", [{"single": -1}, {"three": 2}, {"captions": 1}, dict.fromkeys(KINDS, 0)])
def test_options_out_of_range_are_refused(options: dict):
    with pytest.raises(ClapgenError):
        SceneSampler(CLIPS, SceneOptions(**options))
    with pytest.raises(ClapgenError, match="window"):
        SceneSampler(CLIPS, window=0.2)
    with pytest.raises(ClapgenError, match="'fugue'"):
        SceneSampler(CLIPS).draw(generator(), kind="fugue")
