"""`clapgen embed`: write CLAP embeddings of audio and text to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clapgen.cli.console import print_json, print_result
from clapgen.cli.options import (
    MAX_HOURS,
    ClapOption,
    DeviceOption,
    ForceOption,
    JsonOption,
    MaxHoursOption,
    StrictOption,
    WindowOption,
    check_new_file,
    load_clap_option,
)
from clapgen.cli.sound_files import SoundFiles, sound_files
from clapgen.data.text import as_utf8, clean_prompt
from clapgen.devices import check_device
from clapgen.errors import ClapgenError
from clapgen.terminal import progress

if TYPE_CHECKING:
    import numpy as np

    from clapgen.embedders import ClapEmbedder

SUFFIXES = (".npz", ".parquet")

EPILOG = """
[bold]Examples[/bold]

clapgen embed recordings/ -o recordings.npz\n
clapgen embed - -o film.npz < film.mp4\n
clapgen embed a.wav b.flac --text "a dog barks" --text rain -o both.npz\n

An .npz holds paths, embeddings (n, dim), texts, text_embeddings (m, dim), model and model_hash. Embeddings have length
1, so their dot product is their cosine. A .parquet file has one row per sound or text.
"""


def embed(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Audio files or folders of them; - for standard input.")
    ] = None,
    text: Annotated[list[str] | None, typer.Option("--text", "-t", help="Text to embed; can be repeated.")] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Output file: .npz, or .parquet (needs clapgen\\[parquet]).")
    ] = Path("embeddings.npz"),
    batch_size: Annotated[
        int, typer.Option(min=1, help="Windows of audio to embed at a time; results agree within rounding (1e-6).")
    ] = 32,
    strict: StrictOption = False,
    max_hours: MaxHoursOption = MAX_HOURS,
    model: ClapOption = "default",
    window: WindowOption = "mean",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    force: ForceOption = False,
) -> None:
    """Embed audio and text in one space, for search, clustering or training."""
    if not files and not text:
        raise ClapgenError("nothing to embed; give audio files, folders, or --text TEXT.")
    texts = [clean_prompt(one, "--text") for one in text or []]
    check_device(device)
    _check_output(output, force)
    sounds = sound_files(files or [], strict, max_hours)
    clap = load_clap_option(model, device, window)
    paths, embeddings = _embed_sounds(clap, sounds, batch_size)
    if not paths and not texts:
        raise ClapgenError(f"none of the {len(sounds.paths)} files could be read; nothing was written.")
    _write(output, force, clap, paths, embeddings, texts, clap.embed_text(texts).numpy())
    summary = {
        "path": str(output),
        "sounds": len(paths),
        "texts": len(texts),
        "skipped": list(map(str, sounds.skipped)),
    }
    if as_json:
        print_json({**summary, "dim": clap.dim, "model": model, "model_hash": clap.hash})
    else:
        print_result(f"{output}  ({len(paths)} sounds, {len(texts)} texts, {clap.dim} dimensions)")
    sounds.finish()


def _check_output(output: Path, force: bool) -> None:
    if output.suffix not in SUFFIXES:
        raise ClapgenError(f"-o {output}: the file name must end in {' or '.join(SUFFIXES)}.")
    if output.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise ClapgenError(f"writing .parquet needs pyarrow: pip install 'clapgen[parquet]' ({error}).") from error
    check_new_file(output, force)


def _embed_sounds(clap: ClapEmbedder, sounds: SoundFiles, batch_size: int) -> tuple[list[str], np.ndarray]:
    import numpy as np

    paths: list[str] = []
    embeddings = [np.zeros((0, clap.dim), dtype=np.float32)]
    with progress(len(sounds.paths), "files") as update:
        for path, embedding in sounds.embed(clap, batch_size):
            paths.append(str(path))
            embeddings.append(embedding[None].numpy())
            update(len(paths) + len(sounds.skipped), "Embedding")
    return paths, np.concatenate(embeddings)


def _write(
    output: Path,
    force: bool,
    clap: ClapEmbedder,
    paths: list[str],
    embeddings: np.ndarray,
    texts: list[str],
    text_embeddings: np.ndarray,
) -> None:
    import numpy as np

    from clapgen.files import atomic_path

    with atomic_path(output, overwrite=force) as temporary:
        if output.suffix == ".npz":
            np.savez(
                temporary,
                paths=np.array(paths, dtype=str),
                embeddings=embeddings,
                texts=np.array(texts, dtype=str),
                text_embeddings=text_embeddings,
                model=clap.name,
                model_hash=clap.hash,
            )
            return
        import pyarrow
        from pyarrow import parquet

        columns = {
            "path": pyarrow.array([*map(as_utf8, paths), *[None] * len(texts)], pyarrow.string()),
            "text": pyarrow.array([*[None] * len(paths), *texts], pyarrow.string()),
            "embedding": pyarrow.array([*embeddings, *text_embeddings], pyarrow.list_(pyarrow.float32(), clap.dim)),
        }
        table = pyarrow.table(columns).replace_schema_metadata({"model": clap.name, "model_hash": clap.hash})
        parquet.write_table(table, temporary)
