"""`clapgen pretrain`: prepare training data (manifests of public corpora, WebDataset shards, attribution lists)."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.console import print_json, print_result, print_warning, spinner
from clapgen.cli.options import ForceOption, JsonOption

CORPUS_HELP = "The corpus: audiocaps, clotho, wavcaps, fsd50k or esc50."
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


def _report_missing(missing: list[str]) -> None:
    if missing:
        more = ", …" if len(missing) > MISSING_SHOWN else ""
        print_warning(
            f"{len(missing)} clips have no audio file and were skipped: {', '.join(missing[:MISSING_SHOWN])}{more}"
        )
