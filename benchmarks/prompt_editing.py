"""Short prompts as typed, edited, and edited with captions drawn at random, on the same seeds.

    python benchmarks/prompt_editing.py MANIFEST [--prompts FILE] [--seeds 2] [--limit 6 --num-steps 4]

Generates sounds from 100 one- and two-word prompts in three ways:

- raw: the prompt as typed;
- edited: as `clapgen generate --edit-prompt` does;
- random: the best of 50 training captions drawn at random instead of the 50 nearest, by the same familiarity and
  fidelity, without the check of meaning, which hardly any would pass. If this gains as much, the gain is that of any
  caption.

All are judged by the prompt as typed: the CLAP score with the model's own CLAP (or --judge-clap), and FAD to the
held-out clips of the manifest in the same CLAP; with --tagger also whether the prompt is among the first labels that a
tagger finds, for prompts that are labels of it. The raw prompt is the very text that the CLAP score is measured with,
which favours it. The intervals are 95% bootstrap intervals of the difference to raw, paired: prompts are drawn, with
all their sounds. The share of prompts whose nearest ESC-50 class stays the same says whether the texts keep their
meaning. Captions are those of the model, or of the training clips in the manifest.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clapgen.clap import Clap
from clapgen.data.esc50 import ESC50_LABELS
from clapgen.data.manifest import held_out_clips
from clapgen.data.text import label_key, read_lines
from clapgen.embedders import ClapEmbedder, load_clap
from clapgen.embedders.cache import EmbeddingCache, embed_files
from clapgen.embedders.text_cache import embed_texts
from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.clap_score import bootstrap_interval
from clapgen.metrics.embeddings.fad import frechet_audio_distance
from clapgen.metrics.embeddings.zero_shot import class_prompts
from clapgen.tagger import Tagger
from clapgen.tagger.model import top_k
from clapgen.terminal import progress
from generation import Generation, TextToAudio
from generation.prompts import PromptEditor, captions_of_manifest, captions_of_model
from generation.prompts.candidates import around
from generation.prompts.editor import NEAREST

Array = npt.NDArray[np.float64]
Judge = Callable[[Sequence[Generation], Sequence[str]], Array]  # sounds and their prompts as typed -> (sounds,)

PROMPTS = Path(__file__).with_name("short_prompts.txt")
WAYS = ("raw", "edited", "random")
FAD_RESAMPLES = 300
NEAR_CLASS = 0.8  # cosine of a prompt and the name of a class; the nearest class of "harp" says nothing


def clap_judge(clap: ClapEmbedder) -> Judge:
    """Cosine of each sound and its prompt."""
    return lambda sounds, prompts: (_embedded(sounds, clap) * embed_texts(prompts, clap)).sum(1).astype(np.float64)


def tagger_judge(tagger: Tagger, k: int) -> Judge:
    """Whether the prompt is among the `k` labels that a tagger finds first; NaN where it has no such label."""
    rows = {label_key(label): row for row, label in enumerate(tagger.labels)}

    def judge(sounds: Sequence[Generation], prompts: Sequence[str]) -> Array:
        found = np.full(len(sounds), np.nan)
        known = [index for index, prompt in enumerate(prompts) if label_key(prompt) in rows]
        for index in known:
            features = tagger.embed_audio([sounds[index].waveform], sounds[index].sample_rate)
            found[index] = top_k(tagger.logits(features), [rows[label_key(prompts[index])]], k)[0]
        return found

    return judge


def judges(clap: ClapEmbedder, tagger: Tagger | None) -> dict[str, Judge]:
    """What judges the sounds, by name; higher is better. Another judge goes here: a function of the sounds and the
    prompts as typed. The tagger shares nothing with the CLAP, which also chooses the edits."""
    found = {"CLAP score": clap_judge(clap)}
    return found if tagger is None else {**found, **{f"tagger top-{k}": tagger_judge(tagger, k) for k in (1, 3)}}


def main() -> None:
    arguments = parse()
    model = TextToAudio.from_pretrained(arguments.model)
    judge_clap = load_clap(arguments.judge_clap) if arguments.judge_clap else model.clap
    cache = EmbeddingCache()
    editor = PromptEditor(model.clap, captions(arguments), cache, arguments.fidelity_weight)
    prompts = [line for line in read_lines(arguments.prompts) if line.strip()][: arguments.limit]
    texts = texts_of(prompts, editor)
    for row in zip(*texts.values(), strict=True):
        print(" | ".join(row), flush=True)
    seeds = range(arguments.seeds)
    sounds = {way: generate(model, texts[way], seeds, arguments, way) for way in WAYS}
    files = [clip.path for clip in held_out_clips(arguments.manifest)]
    files = [files[row] for row in np.random.default_rng(0).permutation(len(files))[: arguments.reference]]
    reference = embed_files(files, judge_clap, cache).embeddings
    typed = [prompt for prompt in prompts for _ in seeds]
    results = []
    tagger = Tagger.from_pretrained(arguments.tagger) if arguments.tagger else None
    for name, judge in judges(judge_clap, tagger).items():
        scores = {way: judge(sounds[way], typed).reshape(len(prompts), -1).mean(1) for way in WAYS}
        results += [score_result(name, way, scores) for way in WAYS]
    embedded = {way: _embedded(sounds[way], judge_clap) for way in WAYS}
    results += [fad_result(way, embedded, reference, arguments.seeds) for way in WAYS]
    results += [class_result(way, texts, model.clap) for way in WAYS[1:]]
    for result in results:
        print(json.dumps(result))
    if arguments.output:
        arguments.output.write_text(json.dumps({"texts": texts, "results": results}, indent=2) + "\n")


def captions(arguments: argparse.Namespace) -> list[str]:
    """Those of the model, or of the manifest if it has none."""
    try:
        return captions_of_model(arguments.model)
    except ClapgenError:
        return captions_of_manifest(arguments.manifest, exclude_copyleft=["gpl"])


def texts_of(prompts: Sequence[str], editor: PromptEditor) -> dict[str, list[str]]:
    """What each way generates from."""
    rng = np.random.default_rng(0)
    random = []
    for prompt in prompts:
        drawn = [editor.captions[row] for row in rng.choice(len(editor.captions), NEAREST, replace=False)]
        best = editor.best(prompt, [*drawn, *around(prompt, drawn)], keep_meaning=False)
        random.append(best.prompt if best else prompt)
    return {"raw": list(prompts), "edited": [editor.edit(prompt).prompt for prompt in prompts], "random": random}


def generate(
    model: TextToAudio, texts: Sequence[str], seeds: Sequence[int], arguments: argparse.Namespace, way: str
) -> list[Generation]:
    """A sound for each text and seed, those of a text next to each other."""
    settings = {"seconds": arguments.seconds, "num_steps": arguments.num_steps}
    sounds: list[Generation] = []
    with progress(len(texts), "prompts") as update:
        for done, text in enumerate(texts):
            update(done, way)
            sounds += model.generate([text] * len(seeds), seeds=seeds, **settings)
    return sounds


def score_result(name: str, way: str, scores: dict[str, Array]) -> dict[str, object]:
    """The mean over prompts, and the interval of its difference to raw."""
    known = ~np.isnan(scores["raw"])
    difference = (scores[way] - scores["raw"])[known]
    interval = bootstrap_interval(difference) if len(difference) > 1 else (np.nan, np.nan)
    return _result(name, way, scores[way][known].mean(), difference.mean(), interval) | {"prompts": int(known.sum())}


def fad_result(way: str, embedded: dict[str, Array], reference: Array, seeds: int) -> dict[str, object]:
    """FAD of all sounds, and the interval of its difference to raw."""
    rng = np.random.default_rng(0)
    value, raw = (frechet_audio_distance(embedded[each], reference) for each in (way, "raw"))
    if way == "raw":
        return _result("FAD", way, value, 0.0, (0.0, 0.0))
    prompts = len(embedded[way]) // seeds
    differences = []
    for _ in range(FAD_RESAMPLES):
        drawn = rng.integers(prompts, size=prompts)
        rows = (drawn[:, None] * seeds + np.arange(seeds)).ravel()
        one, other = (frechet_audio_distance(embedded[each][rows], reference) for each in (way, "raw"))
        differences.append(one - other)
    # A resample repeats prompts, which biases both FADs alike: the interval is moved to the difference of all prompts.
    low, high = np.quantile(differences, [0.025, 0.975]) - np.mean(differences) + value - raw
    return _result("FAD", way, value, value - raw, (float(low), float(high)))


def class_result(way: str, texts: dict[str, list[str]], clap: Clap) -> dict[str, object]:
    """Share of prompts whose nearest ESC-50 class is that of the prompt as typed, of those that are near to one."""
    classes = embed_texts(class_prompts(ESC50_LABELS), clap)
    typed, used = (embed_texts(texts[each], clap) @ classes.T for each in ("raw", way))
    near = typed.max(1) >= NEAR_CLASS
    same = (typed.argmax(1) == used.argmax(1))[near]
    changed = [a != b for a, b in zip(texts["raw"], texts[way], strict=True)]
    return {
        "metric": "same class",
        "way": way,
        "value": float(same.mean()),
        "prompts": int(near.sum()),
        "edited": sum(changed),
    }


def _result(name: str, way: str, value: float, gain: float, interval: tuple[float, float]) -> dict[str, object]:
    numbers = [round(float(each), 4) for each in (value, gain, *interval)]
    return {"metric": name, "way": way, "value": numbers[0], "difference": numbers[1], "interval": numbers[2:]}


def _embedded(sounds: Sequence[Generation], clap: ClapEmbedder) -> Array:
    rows = [clap.embed_audio([sound.waveform], sound.sample_rate)[0].cpu().numpy() for sound in sounds]
    return np.stack(rows).astype(np.float64)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", help="its held-out clips are the reference of FAD")
    parser.add_argument("--model", default="default")
    parser.add_argument("--judge-clap", help="another CLAP to judge with, such as laion:FOLDER")
    parser.add_argument("--tagger", help="folder of a tagger, the second judge, of prompts that are its labels")
    parser.add_argument("--prompts", type=Path, default=PROMPTS, help="one on each line")
    parser.add_argument("--fidelity-weight", type=float, default=1.0, help="of the choice among candidates")
    parser.add_argument("--limit", type=int, help="use the first prompts only")
    parser.add_argument("--seeds", type=int, default=2, help="sounds for each prompt")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--num-steps", type=int, default=25)
    parser.add_argument("--reference", type=int, default=500, help="held-out clips, drawn at random")
    parser.add_argument("--output", type=Path, help="JSON file of texts and results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
