"""The bundled synonyms name what they should and nothing else; a user's own list is read or refused by its line."""

from itertools import permutations

import pytest

from clapgen.errors import ClapgenError
from clapgen.metrics.captions.scores import keyword_accuracy
from clapgen.metrics.captions.synonyms import load_synonyms

# The classes of ESC-50 (Piczak 2015), a sentence that names each, in words that are not the label's own where English
# has some.
NAMED = {
    "airplane": "A jet plane roars overhead",
    "breathing": "Someone inhales and exhales heavily",
    "brushing_teeth": "A toothbrush scrubs back and forth",
    "can_opening": "A can of soda is opened with a hiss",
    "car_horn": "A driver honks in the street",
    "cat": "A kitten meows",
    "chainsaw": "A chainsaw revs",
    "chirping_birds": "Birds sang at dawn",
    "church_bells": "A bell rang out from a tower",
    "clapping": "The audience applauds",
    "clock_alarm": "An alarm goes off",
    "clock_tick": "The tick-tock of a grandfather clock",
    "coughing": "A man coughs hoarsely",
    "cow": "Cattle low in a field",
    "crackling_fire": "Logs burnt in a fireplace",
    "crickets": "A cricket sings at night",
    "crow": "A raven calls",
    "crying_baby": "An infant wept",
    "dog": "A hound barks",
    "door_wood_creaks": "The creak of rusty hinges",
    "door_wood_knock": "Someone raps on the door",
    "drinking_sipping": "Someone drank from a cup",
    "engine": "A motor idles",
    "fireworks": "A firework bursts in the sky",
    "footsteps": "A person walks on gravel",
    "frog": "Toads croak in a pond",
    "glass_breaking": "A window is broken",
    "hand_saw": "Someone saws through a plank",
    "helicopter": "The rotor of a chopper whirs",
    "hen": "A chicken clucks",
    "insects": "A mosquito buzzes",
    "keyboard_typing": "Someone types fast",
    "laughing": "A woman giggles",
    "mouse_click": "A computer mouse is pressed",
    "pig": "A hog oinks",
    "pouring_water": "Juice is poured into a cup",
    "rain": "A heavy downpour",
    "rooster": "A loud cock-a-doodle-doo",
    "sea_waves": "The surf breaks on the beach",
    "sheep": "A lamb bleats",
    "siren": "An ambulance drives by",
    "sneezing": "A child sneezed",
    "snoring": "A man snores",
    "thunderstorm": "Thunder rumbles",
    "toilet_flush": "Someone flushes",
    "train": "A locomotive passes",
    "vacuum_cleaner": "Someone is vacuuming the carpet",
    "washing_machine": "A load of laundry tumbles",
    "water_drops": "A tap drips",
    "wind": "A gale howls",
}
OPPOSED = [
    {"dog", "cat", "cow", "pig", "sheep", "rooster", "frog", "horse", "owl", "wolf", "duck", "whale"},
    {"helicopter", "airplane", "train", "bicycle", "sailboat", "car_horn", "chainsaw", "vacuum_cleaner", "rocket"},
    {"rain", "sea_waves", "toilet_flush", "wind", "crackling_fire", "thunderstorm", "gravel", "glass_breaking"},
    {"sneezing", "coughing", "snoring", "laughing", "crying_baby", "clapping", "footsteps", "brushing_teeth"},
    {"clock_tick", "mouse_click", "keyboard_typing", "siren", "door_wood_knock", "door_wood_creaks", "can_opening"},
    {"piano", "guitar", "saxophone", "trumpet", "tabla", "double bass", "vibraphone", "choir"},
    {"man", "woman"},
    {"dog", "rain", "helicopter", "speech", "footsteps", "piano", "siren", "glass_breaking", "sneezing", "clock_tick"},
]


def named(label: str, caption: str) -> bool:
    return keyword_accuracy([caption], [[label]], {label: load_synonyms()[label]}).corpus["keyword_accuracy"] == 1


@pytest.mark.parametrize("label", NAMED)
def test_every_class_is_named_by_a_listeners_words_that_name_no_other(label):
    assert named(label, NAMED[label])
    others = [other for other in NAMED if other != label and named(other, NAMED[label])]
    assert not others


def test_no_synonym_of_a_label_names_one_that_is_clearly_another():
    synonyms = load_synonyms()
    wrong = [
        (label, word, other)
        for group in OPPOSED
        for label, other in permutations(sorted(group), 2)
        for word in (label, *synonyms[label])
        if named(other, word)
    ]
    assert not wrong


def test_nothing_names_everything():
    synonyms = load_synonyms()
    empty = "A loud sound and a noise of something that someone can hear in the background"
    assert [label for label in synonyms if named(label, empty)] == ["noise"]
    assert len(synonyms) > 280 and all(synonyms.values())


@pytest.mark.parametrize(
    ("label", "caption"),
    [
        ("singing", "A woman sang"),
        ("bell", "Wedding bells pealed"),
        ("wolf", "Wolves in the distance"),
        ("hooves", "The hoof beats of a gallop"),
        ("leaves", "A leaf rustles"),
        ("explosion", "A bridge blew up"),
        ("speech", "A man spoke"),
        ("eating", "Someone ate an apple"),
        ("digging", "He dug a hole"),
        ("child", "Children play"),
    ],
)
def test_irregular_forms_count(label, caption):
    assert named(label, caption)


def test_captions_of_other_clips_seldom_name_a_label():
    labels, captions = [[label] for label in NAMED], list(NAMED.values())
    own = keyword_accuracy(captions, labels, load_synonyms()).corpus["keyword_accuracy"]
    moved = keyword_accuracy(captions[1:] + captions[:1], labels, load_synonyms()).corpus["keyword_accuracy"]
    assert (own, moved) == (1, 0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mine.tsv", "\ufeff# remarks\r\n\r\nbig_dog, hound\tmastiff, great dane\r\ncat\tmouser\n"),
        (
            "mine.json",
            '\ufeff{"big_dog": ["mastiff", "great dane"], "hound": ["mastiff", "great dane"], "cat": ["mouser"]}',
        ),
    ],
)
def test_a_list_of_the_user(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    dogs = ["mastiff", "great dane"]
    assert load_synonyms(tmp_path / name) == {"big_dog": dogs, "hound": dogs, "cat": ["mouser"]}


def test_the_loaded_dict_belongs_to_the_caller():
    load_synonyms()["dog"].clear()
    assert load_synonyms()["dog"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", b"dog\tpuppy\ncat kitten\n", r"a\.tsv:2: 'cat kitten' has no tab"),
        ("a.tsv", b"dog\t \n", r"a\.tsv:1: 'dog' has no tab followed by words"),
        ("a.tsv", b"dog\tpuppy,,bark\n", r"a\.tsv:1: '' has no words"),
        (
            "a.tsv",
            b"big_dog\tpuppy\n\nBig dog\tbark\n",
            r"a\.tsv:3: the label 'Big dog' is already on .*:1",
        ),
        ("a.tsv", b"dog\tpuppy\ncaf\xe9\tbar\n", r"a\.tsv:2: byte 0xe9 is not UTF-8"),
        ("a.tsv", b"# nothing\n", r"a\.tsv has no labels"),
        ("a.json", b'{"dog": ["puppy"],\n "cat" ["kitten"]}', r"a\.json:2: not JSON"),
        ("a.json", b'{"dog": ["puppy"],\n "cat": "kitten"}', r"a\.json:2: the synonyms of 'cat' are not a list"),
        ("a.json", b'{"dog": ["puppy"],\n\n "dog": ["bark"]}', r"a\.json:3: the label 'dog' is already on"),
        ("a.json", b'[["dog", ["puppy"]]]', r"a\.json:1: not a JSON object"),
        ("a.json", b'{"dog": {"puppy": 1}}', r"a\.json:1: the synonyms of 'dog' are not"),
        ("a.json", b"[" * 100_000, r"a\.json:1: not JSON"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_by_its_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ClapgenError, match=message):
        load_synonyms(tmp_path / name)


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(ClapgenError, match=r"cannot read .*none\.tsv"):
        load_synonyms(tmp_path / "none.tsv")
