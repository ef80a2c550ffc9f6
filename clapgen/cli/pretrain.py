"""`clapgen pretrain`: prepare training data (manifests, splits, WebDataset shards, attribution lists, teachers)."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from clapgen.cli.cache import CacheOption, NoCacheOption, open_cache
from clapgen.cli.console import garbage_collector_off, print_json, print_result, print_warning, spinner
from clapgen.cli.evaluate.options import ModelOption, clips_bar
from clapgen.cli.options import (
    DeviceOption,
    ForceOption,
    JsonOption,
    allow_hub_for,
    check_new_file,
    load_clap_option,
)
from clapgen.devices import check_device
from clapgen.errors import ClapgenError

CORPUS_HELP = "The corpus: audiocaps, clotho, wavcaps, fsd50k or esc50."
TEACHER_HELP = "aisfx, aisfx:FILE, a bundled model, a model folder, or a public model (laion:NAME_OR_FOLDER)."
HOLD_OUT_HELP = "Clips to hold out, such as fold=1, esc50_class=dog or labels=rain; repeatable."
MISSING_SHOWN = 5

app = typer.Typer(
    name="pretrain",
    help="Prepare data for training.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def manifest(
    corpus: Annotated[str, typer.Argument(metavar="CORPUS", help=CORPUS_HELP)],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder into which the corpus was unpacked.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Manifest to write.")] = Path("manifest.jsonl"),
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the manifest of a public corpus on disk, to train on."""
    from pretrain.data.corpora import write_manifest

    with spinner(f"reading {folder}"):
        written = write_manifest(corpus, folder, output, overwrite=force)
    splits = Counter(clip.split or "no split" for clip in written.clips)
    if as_json:
        free = sum(clip.free is True for clip in written.clips)
        counts = {"clips": len(written.clips), "splits": splits, "free": free, "missing": len(written.missing)}
        print_json({"manifest": str(output), **counts})
    else:
        parts = ", ".join(f"{count} {split}" for split, count in splits.items())
        print_result(f"{output}: {len(written.clips)} clips ({parts})")
    _report_missing(written.missing)


@app.command()
def shards(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="Manifest of the clips to pack.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Output folder for the shards.")],
    clips_per_shard: Annotated[int, typer.Option(min=1, help="Number of clips in a tar file.")] = 512,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Pack the clips of a manifest into WebDataset tar shards."""
    from clapgen.data.manifest import read_manifest
    from pretrain.data.shards import write_shards

    clips = read_manifest(manifest)
    with spinner(f"packing {len(clips)} clips"):
        written, missing = write_shards(clips, output, clips_per_shard, overwrite=force)
    if as_json:
        print_json({"shards": [str(path) for path in written], "missing": len(missing)})
    else:
        print_result(f"{output}: {len(clips) - len(missing)} clips in {len(written)} shards")
    _report_missing([str(path) for path in missing])


@app.command()
def unpack(
    shards: Annotated[list[Path], typer.Argument(metavar="SHARD...", help="WebDataset tar files.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Output folder for audio files and manifest.")
    ],
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Unpack WebDataset tar shards into audio files and a manifest."""
    from pretrain.data.shards import unpack_shards

    with spinner(f"unpacking {len(shards)} shards"):
        path, count = unpack_shards(shards, output, overwrite=force)
    if as_json:
        print_json({"manifest": str(path), "clips": count})
    else:
        print_result(f"{path}: {count} clips")


@app.command()
def simulate(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="Manifest of labelled clips to compose.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="New folder for sounds and manifest.")],
    count: Annotated[int, typer.Option(min=1, help="Number of scenes.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same files.")] = 0,
    seconds: Annotated[float, typer.Option(min=1, max=60, help="Longest scene; a model's window.")] = 5.0,
    kinds: Annotated[
        str,
        typer.Option(
            help="Kinds of scenes, separated by commas; all by default: single, sequence, overlap, background, "
            "repeated, duration, distance."
        ),
    ] = "",
    split: Annotated[str, typer.Option(help="Compose the clips of this split.")] = "train",
    free_only: Annotated[bool, typer.Option("--free-only", help="Compose only clips with a free licence.")] = False,
    label_field: Annotated[
        str, typer.Option("--label-field", help="Key of the manifest that holds a clip's class, e.g. esc50_class.")
    ] = "",
    sample_rate: Annotated[int, typer.Option(min=8000, max=96000, help="Sample rate of the sounds in Hz.")] = 32000,
    format: Annotated[str, typer.Option(help="Format of the sounds: flac, wav, opus, ogg or mp3.")] = "flac",
    shards: Annotated[bool, typer.Option("--shards", help="Also pack the scenes into WebDataset tar shards.")] = False,
    cache: Annotated[Path, typer.Option(metavar="DIR", help="Folder of decoded clips.")] = Path("runs/cache"),
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compose scenes of labelled clips: order, overlap, loudness, count, with captions and hard negatives."""
    from pretrain.data.simulation import Simulation, write_scenes

    names = [kind.strip() for kind in kinds.split(",") if kind.strip()]
    suffix = f".{format.lower().lstrip('.')}"
    simulation = Simulation(
        count=count,
        seed=seed,
        seconds=seconds,
        kinds=names,
        split=split,
        free_only=free_only,
        class_field=label_field,
        sample_rate=sample_rate,
        suffix=suffix,
        shards=shards,
    )
    clips = write_scenes(manifest, output, simulation, cache, overwrite=force)
    relations = Counter(str(clip.extra["relation"]) for clip in clips)
    if as_json:
        print_json({"manifest": str(output / "manifest.jsonl"), "scenes": len(clips), "relations": relations})
    else:
        parts = ", ".join(f"{number} {relation}" for relation, number in relations.most_common())
        print_result(f"{output / 'manifest.jsonl'}: {len(clips)} scenes ({parts})")


@app.command()
def attribution(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="Manifest of the training clips.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Tab-separated list to write.")],
    split: Annotated[str, typer.Option(help="List the clips of this split.")] = "train",
    free_only: Annotated[bool, typer.Option("--free-only", help="List only clips with a free licence.")] = False,
    exclude_copyleft: Annotated[
        list[str] | None, typer.Option(help="Leave out clips with this copyleft, as the recipe does; repeatable.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """List author, licence and URL of all training clips, to publish with the weights."""
    from clapgen.data.manifest import training_clips
    from pretrain.data.attribution import write_attribution

    clips = training_clips(manifest, split, free_only, exclude_copyleft or [])
    print_result(f"{output}: {write_attribution(clips, output, overwrite=force)} clips")


@app.command()
def teacher(
    name: Annotated[str, typer.Argument(metavar="TEACHER", help=TEACHER_HELP)],
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="Manifest of the clips to embed.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Table (.safetensors) to write.")],
    also: Annotated[
        list[str] | None, typer.Option(help="One more teacher; repeatable. Their similarities are averaged.")
    ] = None,
    parts: Annotated[
        bool, typer.Option("--parts", help="Also keep what it hears in parts of each clip: better targets for crops.")
    ] = False,
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    device: DeviceOption = "auto",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Embed the clips of a manifest with an audio teacher, for a recipe to learn from."""
    check_device(device)
    if output.suffix.lower() != ".safetensors":
        raise ClapgenError(f"{output}: the name of the table must end in .safetensors.")
    check_new_file(output, force)
    from clapgen.data.manifest import read_manifest
    from clapgen.devices import choose_device

    clips = read_manifest(manifest)
    names = [name, *(also or [])]
    with garbage_collector_off(), spinner("Loading the teacher"):
        from clapgen.embedders import load_embedder
        from pretrain.teachers import write_teacher_table

        for each in names:
            allow_hub_for(each)
        teachers = [load_embedder(each, choose_device(device)) for each in names]
    with clips_bar(len(clips) * len(teachers), "Embedding") as advance:
        skipped = write_teacher_table(
            teachers,
            clips,
            output,
            manifest.parent,
            open_cache(cache, no_cache),
            overwrite=force,
            advance=advance,
            parts=parts,
        )
    width = sum(each.dim for each in teachers)
    if as_json:
        print_json({"path": str(output), "clips": len(clips) - len(skipped), "dim": width, "skipped": len(skipped)})
    else:
        print_result(f"{output}: {len(clips) - len(skipped)} clips, {width} dimensions")
    if skipped:
        print_warning(f"skipped {len(skipped)} of {len(clips)} clips, which cannot be read; first: {skipped[0][1]}")


@app.command()
def captions(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="Manifest of clips with labels or captions.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Manifest to write.")],
    model: ModelOption = "default",
    from_labels: Annotated[bool, typer.Option("--from-labels", help="Ignore the captions that clips have.")] = False,
    captioner: Annotated[
        bool, typer.Option("--captioner", help="Also try captions by the model's captioner, if it has one.")
    ] = False,
    candidates: Annotated[
        int, typer.Option(min=1, max=100, help="Captions to make for each clip from each source.")
    ] = 8,
    keep: Annotated[int, typer.Option(min=1, max=100, help="The most captions to keep for each clip.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the candidates.")] = 0,
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    device: DeviceOption = "auto",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make several captions for each clip, from labels and other captions, and keep those that agree with the sound."""
    from clapgen.data.manifest import check_manifest_name, read_manifest, save_manifest

    check_manifest_name(output)
    check_new_file(output, force)
    clips = read_manifest(manifest)
    clap = load_clap_option(model, device)
    with spinner("Loading the model"):
        propose = _captioner(model, device) if captioner else None
        from clapgen.evaluation.context import EvaluationContext
        from pretrain.chosen_captions import CaptionChoice, recaption
    context = EvaluationContext(clap, open_cache(cache, no_cache), clips_bar)
    chosen = recaption(clips, context, CaptionChoice(candidates, keep, from_labels, seed), propose)
    save_manifest(chosen.clips, output, overwrite=force)
    given = [clip for clip in chosen.clips if "captions_from" in clip.extra]
    sources = Counter(each["from"] for clip in given for each in clip.extra["captions_from"])
    counts = {"clips": len(given), "captions": sources.total(), "from": sources}
    if as_json:
        unchanged = {"without_text": len(chosen.without_text), "unreadable": len(chosen.unreadable)}
        print_json({"path": str(output), **counts, **unchanged})
    else:
        parts = ", ".join(f"{count} from {source}" for source, count in sources.most_common())
        print_result(f"{output}: {sources.total()} captions of {len(given)} clips ({parts})")
    if chosen.without_text:
        first = chosen.without_text[0].path
        left = f"{len(chosen.without_text)} of {len(clips)} clips stay as they are"
        print_warning(f"{left}, without captions or labels; first: {first}")
    if chosen.unreadable:
        left = f"{len(chosen.unreadable)} of {len(clips)} clips stay as they are"
        print_warning(f"{left}, because they cannot be read; first: {chosen.unreadable[0][1]}")


def _captioner(model: str, device: str) -> Callable[[Any, int], list[list[str]]]:
    """Captions of audio embeddings by the captioner of a model."""
    import torch

    from captioning.captioner import Captioner

    loaded = Captioner.from_pretrained(model, device)

    def propose(audio: Any, count: int) -> list[list[str]]:
        captioned = loaded.caption_embeddings(torch.from_numpy(audio), candidates=count)
        return [[candidate.text for candidate in caption.candidates] for caption in captioned]

    return propose


@app.command()
def split(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="Manifest to split again.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Manifest to write.")],
    hold_out: Annotated[list[str], typer.Option(metavar="FIELD=VALUE", help=HOLD_OUT_HELP)],
    train_on: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=VALUE", help="Clips to train on although they were held out; repeatable."),
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Hold other clips out of training: a fold, classes, a source. Recordings are never divided."""
    from clapgen.data.manifest import read_manifest, save_manifest
    from clapgen.data.splits import hold_out as held_out_clips

    clips = held_out_clips(read_manifest(manifest), hold_out, train_on or [])
    save_manifest(clips, output, overwrite=force)
    counts = Counter(clip.split or "no split" for clip in clips)
    if as_json:
        print_json({"path": str(output), "splits": counts})
    else:
        print_result(f"{output}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))


def _report_missing(missing: list[str]) -> None:
    if missing:
        more = ", …" if len(missing) > MISSING_SHOWN else ""
        print_warning(
            f"{len(missing)} clips have no audio file and were skipped: {', '.join(missing[:MISSING_SHOWN])}{more}"
        )
