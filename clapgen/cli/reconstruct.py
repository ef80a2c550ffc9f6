"""`clapgen reconstruct`: a manifest's clips through the autoencoder and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.console import garbage_collector_off, print_result, spinner
from clapgen.cli.options import DeviceOption, ForceOption, ModelOption, check_new_file, make_writable_folder
from clapgen.devices import check_device, choose_device
from clapgen.terminal import progress

EPILOG = """
[bold]Examples[/bold]

clapgen reconstruct data/manifest.jsonl -o rebuilt\n
clapgen train clap --config robust manifest=rebuilt/manifest.jsonl
"""


def reconstruct(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="The clips to rebuild.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for sounds and manifest.")],
    split: Annotated[str, typer.Option(help="Rebuild the clips of this split; all are listed.")] = "train",
    model: ModelOption = "default",
    device: DeviceOption = "auto",
    force: ForceOption = False,
) -> None:
    """Rebuild clips through the autoencoder: to hear what it keeps, or to train a CLAP on both.

    DIR/manifest.jsonl lists the original clips and the rebuilt ones.
    """
    from clapgen.data.manifest import read_manifest, save_manifest

    check_device(device)
    clips = read_manifest(manifest)
    chosen = [clip for clip in clips if clip.split in (None, split)]
    make_writable_folder(output)
    check_new_file(output / "manifest.jsonl", force)
    with garbage_collector_off(), spinner("Loading the model"):
        from generation.autoencoder import Autoencoder
        from generation.reconstruct import reconstruct_clips

        autoencoder = Autoencoder.from_pretrained(model, device=choose_device(device))
    done = 0
    with progress(len(chosen), "clips") as update:

        def after_each() -> None:
            nonlocal done
            done += 1
            update(done, "Rebuilding")

        rebuilt = reconstruct_clips(autoencoder, chosen, output, force, after_each)
    save_manifest([*clips, *rebuilt], output / "manifest.jsonl", overwrite=force)
    print_result(f"{output / 'manifest.jsonl'}: {len(clips)} clips and {len(rebuilt)} rebuilt ones")
