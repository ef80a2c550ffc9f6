"""`clapgen pretrain`: prepare training data (manifests, splits, WebDataset shards, attribution lists, teachers)."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.cache import CacheOption, NoCacheOption, open_cache
from clapgen.cli.console import garbage_collector_off, print_json, print_result, print_warning, spinner
from clapgen.cli.options import DeviceOption, ForceOption, JsonOption, allow_hub_for, check_new_file
from clapgen.devices import check_device
from clapgen.terminal import progress

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
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    device: DeviceOption = "auto",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Embed the clips of a manifest with an audio teacher, for a recipe to learn from."""
    check_device(device)
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
    done = 0
    with progress(len(clips) * len(teachers), "clips") as update:

        def advance(count: int) -> None:
            nonlocal done
            done += count
            update(done, "Embedding")

        skipped = write_teacher_table(
            teachers, clips, output, manifest.parent, open_cache(cache, no_cache), overwrite=force, advance=advance
        )
    width = sum(each.dim for each in teachers)
    if as_json:
        print_json({"path": str(output), "clips": len(clips) - len(skipped), "dim": width, "skipped": len(skipped)})
    else:
        print_result(f"{output}: {len(clips) - len(skipped)} clips, {width} dimensions")
    if skipped:
        print_warning(f"{len(skipped)} clips could not be read and were skipped, first: {skipped[0][1]}")


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
