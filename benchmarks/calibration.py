"""Fit the calibration of `clapgen classify --independent` and `--none`, and check it on other clips.

    python benchmarks/calibration.py MANIFEST [--model default] [--leave-out ATTRIBUTION.tsv] [--clips 3000]

Fitted on clips of the split train that the model was not trained on (--leave-out lists those), as many of each `kit`,
checked on the split val. A label applies to a clip if the clip lists it; the labels of other clips stand for those that
do not apply, which some in truth do ("bark" for a dog): the probabilities are slightly too low. Prints the constants
for `clapgen/clap/calibrations.py`, the expected calibration error (ECE, 10 bins) and the area under the ROC curve.
"""

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clapgen.data.manifest import Clip, read_manifest
from clapgen.data.text import distinct_labels
from clapgen.embedders import load_clap
from clapgen.embedders.cache import EmbeddingCache, embed_files
from clapgen.embedders.text_cache import embed_texts
from clapgen.metrics.embeddings.calibration import Calibration, expected_calibration_error, fit_choice, fit_sigmoid
from clapgen.metrics.embeddings.zero_shot import DEFAULT_TEMPLATE, class_prompts

COUNTS = (3, 5, 10, 20, 50)  # labels to choose among


@dataclass
class Cosines:
    """Cosines (clips, labels) of clips with all labels, and which labels each clip has."""

    table: np.ndarray
    has: np.ndarray

    def pairs(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Cosines of a clip and a label, and whether it applies: one of each kind per clip."""
        cosines = [self._draw(row, applies, rng) for row in range(len(self.table)) for applies in (True, False)]
        return np.array(cosines), np.tile([True, False], len(self.table))

    def choices(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Cosines (clips, count) with random labels, in every second row with one that applies; the right column."""
        rows, truth = [], []
        for row, has in enumerate(self.has):
            columns = rng.choice(np.flatnonzero(~has), count, replace=False)
            truth.append(count)
            if row % 2:
                truth[-1] = int(rng.integers(count))
                columns[truth[-1]] = rng.choice(np.flatnonzero(has))
            rows.append(self.table[row, columns])
        return np.stack(rows), np.array(truth)

    def _draw(self, row: int, applies: bool, rng: np.random.Generator) -> float:
        return float(self.table[row, rng.choice(np.flatnonzero(self.has[row] == applies))])


def main() -> None:
    options = parse()
    clap = load_clap(options.model)
    cache = EmbeddingCache(options.cache)
    clips = [clip for clip in read_manifest(options.manifest) if clip.labels]
    names = distinct_labels(sorted(label for clip in clips for label in clip.labels))
    text = embed_texts(class_prompts(names), clap, cache)
    known = set() if options.leave_out is None else known_files(options.leave_out)
    unseen = [clip for clip in clips if clip.split == "train" and folder_and_name(clip.path) not in known]
    rng = np.random.default_rng(0)
    chosen = balanced(unseen, options.clips, rng)
    held_out = [clip for clip in clips if clip.split == "val"]

    def cosines(group: list[Clip]) -> Cosines:
        embedded = embed_files([clip.path for clip in group], clap, cache)
        labels = {clip.path: set(distinct_labels(clip.labels)) for clip in group}
        has = np.array([[name in labels[path] for name in names] for path in embedded.paths])
        return Cosines(embedded.embeddings @ text.T, has)

    fitted_on = cosines(chosen)
    calibration = Calibration(
        DEFAULT_TEMPLATE,
        *fit_sigmoid(*fitted_on.pairs(rng)),
        *fit_choice([fitted_on.choices(count, rng) for count in COUNTS]),
    )
    different = len({clip.path for clip in chosen})
    print(f"{clap.name} {clap.hash}: fitted on {different} of {len(unseen)} unseen train clips, {len(names)} labels")
    print(calibration)
    for kit in (None, *sorted({clip.extra["kit"] for clip in clips if "kit" in clip.extra})):
        group = [clip for clip in held_out if kit is None or clip.extra["kit"] == kit]
        check(calibration, cosines(group), f"val, {'all' if kit is None else f'kit {kit}'}", rng)


def check(calibration: Calibration, held_out: Cosines, name: str, rng: np.random.Generator) -> None:
    values, applies = held_out.pairs(rng)
    p = calibration.independent(values)
    area = float((values[applies][:, None] > values[~applies][None]).mean())
    right = float(((p > 0.5) == applies).mean())
    ece = expected_calibration_error(p, applies)
    print(f"{name}, {len(held_out.table)} clips: independent: ECE {ece:.3f}, right {right:.3f}, area {area:.3f}")
    for count in COUNTS:
        table, truth = held_out.choices(count, rng)
        chances = calibration.with_none(table)
        best = chances.argmax(1)
        none = chances[:, -1]
        area = float((none[truth == count][:, None] > none[truth < count][None]).mean())
        print(
            f"  none or one of {count}: ECE {expected_calibration_error(chances.max(1), best == truth):.3f}, right "
            f"{(best == truth).mean():.3f}; P(none): ECE {expected_calibration_error(none, truth == count):.3f}, area "
            f"{area:.3f}"
        )


def balanced(clips: list[Clip], count: int, rng: np.random.Generator) -> list[Clip]:
    """`count` clips, as many of each `kit` of the manifest: sounds like the model's training data, and others."""
    kits: dict[str, list[Clip]] = {}
    for clip in clips:
        kits.setdefault(str(clip.extra.get("kit")), []).append(clip)
    share = count // len(kits)
    return [clip for _, kit in sorted(kits.items()) for clip in rng.choice(np.array(kit, dtype=object), share)]


def known_files(table: Path) -> set[str]:
    """Folder and name of the files in the column `clip` of an ATTRIBUTION.tsv."""
    with table.open(encoding="utf-8", newline="") as file:
        return {folder_and_name(Path(row["clip"])) for row in csv.DictReader(file, delimiter="\t")}


def folder_and_name(path: Path) -> str:
    return "/".join(path.parts[-2:])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--leave-out", type=Path, help="table of the clips that the model was trained on")
    parser.add_argument("--clips", type=int, default=3000, help="train clips to fit on")
    parser.add_argument("--cache", type=Path, help="folder of the embedding cache")
    return parser.parse_args()


if __name__ == "__main__":
    main()
