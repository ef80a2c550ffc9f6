"""A manifest whose classes are as uneven as life: the rare third of its classes is cut to a few training clips.

    python benchmarks/long_tail.py MANIFEST -o long_tail.jsonl [--field esc50_class] [--keep 3] [--unseen 5] [--seed 0]

Which classes become rare is drawn by `--seed`. `--unseen` classes lose all their training clips. Each line with a
class, or with a label that is one, gets the key "tail": rare, middle or common (by third), or unseen. The clips that
were cut have the split "cut", so that a library can be made of them. Held-out clips stay as they are.
"""

import argparse
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from clapgen.data.manifest import Clip, read_manifest, save_manifest
from clapgen.data.splits import class_of
from clapgen.data.text import label_key
from clapgen.errors import ClapgenError

KEPT_OF_MIDDLE = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--field", default="esc50_class", help="key of the manifest that holds a clip's class")
    parser.add_argument("--keep", type=int, default=3, help="training clips that a rare class keeps")
    parser.add_argument("--unseen", type=int, default=5, help="classes that keep none")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        clips = cut(read_manifest(options.manifest), options.field, options.keep, options.unseen, options.seed)
        save_manifest(clips, options.output)
    except ClapgenError as error:
        parser.error(str(error))
    for part in ("rare", "middle", "common", "unseen"):
        of_part = (class_of(clip, options.field) for clip in clips if clip.extra.get("tail") == part)
        classes = sorted(filter(None, set(of_part)))
        print(f"{part}: {len(classes)} classes: {', '.join(classes)}")


def cut(clips: Sequence[Clip], field: str, keep: int, unseen: int, seed: int) -> list[Clip]:
    """The clips with the key "tail", and those beyond a class's share in the split "cut"."""
    classes = sorted({name for clip in clips if (name := class_of(clip, field))})
    if len(classes) < 3 + unseen:
        raise ClapgenError(f"{len(classes)} classes in '{field}' are too few for thirds and {unseen} unseen ones.")
    order = random.Random(seed)
    order.shuffle(classes)
    thirds = {name: ("rare", "middle", "common")[3 * place // len(classes)] for place, name in enumerate(classes)}
    thirds |= dict.fromkeys(classes[-unseen:] if unseen else [], "unseen")
    room = {"rare": keep, "middle": KEPT_OF_MIDDLE, "unseen": 0, "common": len(clips)}
    used: dict[str, int] = {}
    rarest_first = ("unseen", "rare", "middle", "common")
    by_key = {label_key(name): name for name in classes}
    result = []
    for index in order.sample(range(len(clips)), len(clips)):
        clip = clips[index]
        keys = {label_key(name) for name in (class_of(clip, field), *clip.labels) if name}
        named = [by_key[key] for key in keys & by_key.keys()]
        if named:  # also by its labels: rain among the sounds of another collection is rain
            name = min(named, key=lambda name: rarest_first.index(thirds[name]))
            clip = replace(clip, extra={**clip.extra, "tail": thirds[name]})
            if clip.split == "train":
                used[name] = used.get(name, 0) + 1
                if used[name] > room[thirds[name]]:
                    clip = replace(clip, split="cut")
        result.append((index, clip))
    return [clip for _, clip in sorted(result, key=lambda pair: pair[0])]


if __name__ == "__main__":
    main()
