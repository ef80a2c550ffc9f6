"""`clapgen pretrain`: public corpora into manifests, manifests into shards, shards back into files."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.console import print_json, print_result, print_warning, spinner
from clapgen.cli.options import ForceOption, JsonOption

LAYOUT_HELP = "How the corpus is laid out: audiocaps, clotho, wavcaps, fsd50k or esc50."
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
    layout: Annotated[str, typer.Argument(metavar="LAYOUT", help=LAYOUT_HELP)],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the corpus was unpacked.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The manifest to write.")] = Path("manifest.jsonl"),
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Turn a public corpus on your disk into a manifest to train on."""
    from pretrain.data.corpora import write_manifest

    with spinner(f"reading {folder}"):
        found = write_manifest(layout, folder, output, overwrite=force)
    splits = Counter(clip.split or "no split" for clip in found.clips)
    if as_json:
        free = sum(clip.free is True for clip in found.clips)
        counts = {"clips": len(found.clips), "splits": splits, "free": free, "missing": len(found.missing)}
        print_json({"manifest": str(output), **counts})
    else:
        parts = ", ".join(f"{count} {split}" for split, count in splits.items())
        print_result(f"{output}: {len(found.clips)} clips ({parts})")
    _report_missing(found.missing)


@app.command()
def shards(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="The manifest of the clips to pack.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the shards.")],
    clips_per_shard: Annotated[int, typer.Option(min=1, help="How many clips go into one tar.")] = 512,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Pack a manifest's clips into WebDataset tar shards."""
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
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for audio and manifest.")],
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Unpack WebDataset tar shards into audio files and a manifest of them."""
    from pretrain.data.shards import unpack_shards

    with spinner(f"unpacking {len(shards)} shards"):
        path, count = unpack_shards(shards, output, overwrite=force)
    if as_json:
        print_json({"manifest": str(path), "clips": count})
    else:
        print_result(f"{path}: {count} clips")


@app.command()
def attribution(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="The manifest of the training clips.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The tab-separated list to write.")],
    split: Annotated[str, typer.Option(help="List the clips of this split.")] = "train",
    free_only: Annotated[bool, typer.Option("--free-only", help="List only clips whose licence is free.")] = False,
    force: ForceOption = False,
) -> None:
    """List author, licence and address of every training clip, to be shipped beside the weights."""
    from clapgen.data.manifest import training_clips
    from pretrain.data.attribution import write_attribution

    clips = training_clips(manifest, split, free_only)
    print_result(f"{output}: {write_attribution(clips, output, overwrite=force)} clips")


def _report_missing(missing: list[str]) -> None:
    if missing:
        more = ", …" if len(missing) > MISSING_SHOWN else ""
        print_warning(
            f"{len(missing)} clips have no audio file and are left out: {', '.join(missing[:MISSING_SHOWN])}{more}"
        )
