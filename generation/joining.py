"""A model folder put together from parts of several others, checked to fit before it appears."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from clapgen.configuration import load_config, save_config
from clapgen.errors import ClapgenError
from clapgen.model_store import (
    CARD_FILE,
    CONFIG_FILE,
    ModelFolder,
    copy_part,
    open_model,
    part_hashes,
    record_checksums,
    weights_hash,
)
from generation.compatibility import DEPENDENCIES, dependency_hash, misfits
from generation.diffusion.config import DiffusionConfig

ATTRIBUTION_FILE = "ATTRIBUTION.tsv"


def join_parts(sources: Mapping[str, str | Path], target: Path) -> None:
    """Write a model folder with each part from another model.

    A diffusion model that records only the hashes of whole parts gets those of the shares that it depends on, taken
    from the folder it comes from. Cards and attributions of the sources are put together.

    Args:
        sources: part to the name or folder of the model that it comes from.

    Raises:
        ClapgenError: a part is missing or damaged, the parts do not fit, or `target` exists.
    """
    if target.exists():
        raise ClapgenError(f"{target} already exists; give a new folder.")
    folders = {part: open_model(source) for part, source in sources.items()}
    for part, folder in folders.items():
        part_hashes(folder, [part])
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
        joined = Path(temporary) / target.name
        for part, folder in folders.items():
            copy_part(folder.path, joined, part)
        if "diffusion" in folders:
            _complete_config(folders["diffusion"], joined / "diffusion" / CONFIG_FILE)
        record_checksums(joined)
        if problems := misfits(joined):
            raise ClapgenError(f"the parts do not fit: {problems[0]}")
        (joined / CARD_FILE).write_text(_card(target.name, folders), encoding="utf-8")
        _join_attributions([folder.path for folder in folders.values()], joined / ATTRIBUTION_FILE)
        shutil.move(joined, target)


def _complete_config(source: ModelFolder, file: Path) -> None:
    config = load_config(DiffusionConfig, file)
    missing: dict[str, Any] = {
        dependency.key: dependency_hash(source, dependency)
        for dependency in DEPENDENCIES
        if not getattr(config, dependency.key)
        and f"{dependency.part}/{CONFIG_FILE}" in source.checksums
        and weights_hash(source, dependency.part) == getattr(config, dependency.whole_key)
    }
    if missing:
        save_config(replace(config, **missing), file)


def _card(name: str, folders: Mapping[str, ModelFolder]) -> str:
    parts = "".join(f"- {part}: `{weights_hash(folder, part)}` of {folder.name}\n" for part, folder in folders.items())
    text = f"# {name}\n\nPut together from parts of several models:\n\n{parts}"
    for folder in {folder.path: folder for folder in folders.values()}.values():
        card = folder.path / CARD_FILE
        if card.is_file():
            text += f"\n---\n\nThe card of {folder.name}:\n\n{card.read_text(encoding='utf-8').rstrip()}\n"
    return text


def _join_attributions(folders: list[Path], target: Path) -> None:
    lines: dict[str, None] = {}  # in order, each once; the header of all files is the same
    for folder in folders:
        file = folder / ATTRIBUTION_FILE
        if file.is_file():
            lines |= dict.fromkeys(file.read_text(encoding="utf-8").splitlines())
    if lines:
        target.write_text("\n".join(lines) + "\n", encoding="utf-8")
