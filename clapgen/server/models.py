"""Models held in memory: those that requests may choose among, one at a time, loaded when they are first used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clapgen.errors import ClapgenError, nearest
from clapgen.model_store import ModelFolder, list_models, open_model, parts_of, weights_hash
from clapgen.server.problems import Problem

if TYPE_CHECKING:
    from captioning.captioner import Captioner
    from clapgen.embedders import ClapEmbedder
    from generation.pipeline import TextToAudio

GENERATOR_PARTS = {"clap", "autoencoder", "diffusion"}


class Models:
    """The models of a server by the names that clients see: a bundled name, the last part of a folder's path, or a
    public CLAP.

    Only the thread of the queue loads and uses them.
    """

    def __init__(self, given: Sequence[str], device: str = "auto") -> None:
        """ClapgenError if a model is unknown, or two have the same name."""
        self.device = device
        self._folders: dict[str, ModelFolder | str] = {}
        for each in given:
            name, folder = _named(each)
            if name in self._folders:
                raise ClapgenError(f"two models are called '{name}'; rename the folder of one.")
            self._folders[name] = folder
        if not self._folders:
            raise ClapgenError("give at least one --model.")
        self._hashes: dict[str, dict[str, str]] = {}
        self._loaded: dict[str, Any] = {}
        self._loaded_name = ""

    @property
    def names(self) -> list[str]:
        """The names of all models; the first is the default."""
        return list(self._folders)

    @property
    def hidden(self) -> list[tuple[str, str]]:
        """The paths of models, and what to show instead of them."""
        folders = [(str(each.path), name) for name, each in self._folders.items() if isinstance(each, ModelFolder)]
        return sorted(folders, key=lambda pair: -len(pair[0]))

    @property
    def ready(self) -> bool:
        """Whether a model is in memory."""
        return bool(self._loaded)

    def chosen(self, name: str | None) -> str:
        """The name of the model that a request asks for, or of the default.

        Raises:
            Problem: 404 for a name that is not one of this server's.
        """
        if name is None:
            return self.names[0]
        if name not in self._folders:
            hint = nearest(name[:100], self.names)
            raise Problem(404, f"No model called '{name[:100]}'.{hint} This server has: {', '.join(self.names)}.")
        return name

    def chosen_for(self, what: str, name: str | None) -> str:
        """As `chosen`; the default is the first model that can do it."""
        if name is None:
            return next((each["id"] for each in self.describe() if what in each["can"]), self.names[0])
        return self.chosen(name)

    def describe(self) -> list[dict[str, Any]]:
        """For each model its name, its parts with the hash of their weights, and what it can do."""
        return [self._describe(name) for name in self.names]

    def load_first(self, _: object = None) -> None:
        """Load the default model, with what it is most used for."""
        name = self.names[0]
        self.generator(name) if "generate" in self._describe(name)["can"] else self.clap(name)

    def generator(self, name: str) -> TextToAudio:
        """The model that makes sounds. Its name in sidecars is the one that clients see."""
        return self._part(name, "generator", self._load_generator)

    def captioner(self, name: str) -> Captioner:
        """The model that captions sounds."""
        return self._part(name, "captioner", self._load_captioner)

    def clap(self, name: str) -> ClapEmbedder:
        """The CLAP of a model; that of its generator if it is in memory."""
        if self._loaded_name == name and "generator" in self._loaded:
            return self._loaded["generator"].clap
        return self._part(name, "clap", self._load_clap)

    def _part(self, name: str, part: str, load: Any) -> Any:
        if self._loaded_name != name:
            self._loaded, self._loaded_name = {}, name  # one model in memory
        if part not in self._loaded:
            self._loaded[part] = load(self._folders[name])
        return self._loaded[part]

    def _load_generator(self, folder: ModelFolder | str) -> TextToAudio:
        from clapgen.devices import choose_device
        from generation.pipeline import TextToAudio

        if isinstance(folder, str) or not set(parts_of(folder.path)) >= GENERATOR_PARTS:
            raise ClapgenError("this model does not make sounds: it has no diffusion model; choose another.")
        return TextToAudio.from_pretrained(folder, choose_device(self.device))

    def _load_captioner(self, folder: ModelFolder | str) -> Captioner:
        from captioning.captioner import Captioner
        from clapgen.devices import choose_device

        if isinstance(folder, str) or "captioner" not in parts_of(folder.path):
            raise ClapgenError("this model has no captioner; choose another.")
        return Captioner.from_pretrained(folder.path, choose_device(self.device))

    def _load_clap(self, folder: ModelFolder | str) -> ClapEmbedder:
        from clapgen.clap import Clap
        from clapgen.devices import choose_device
        from clapgen.embedders import load_clap

        device = choose_device(self.device)
        return load_clap(folder, device) if isinstance(folder, str) else Clap.from_pretrained(folder, device)

    def _describe(self, name: str) -> dict[str, Any]:
        folder = self._folders[name]
        if isinstance(folder, str):
            return {"id": name, "object": "model", "parts": {}, "can": ["embed", "classify", "score", "locate"]}
        if name not in self._hashes:
            self._hashes[name] = {part: weights_hash(folder.path, part) for part in parts_of(folder.path)}
        parts = self._hashes[name]
        can = ["generate", "edit"] if parts.keys() >= GENERATOR_PARTS else []
        can += ["caption"] if "captioner" in parts else []
        can += ["embed", "classify", "score", "locate"] if "clap" in parts else []
        return {"id": name, "object": "model", "parts": parts, "can": can}


def _named(given: str) -> tuple[str, ModelFolder | str]:
    """The name of a model for clients, and its folder; a public CLAP has none."""
    if ":" in given and not Path(given).is_dir():
        from clapgen.embedders import split_name

        kind, checkpoint = split_name(given)
        return f"{kind}:{Path(checkpoint).name}" if Path(checkpoint).is_dir() else given, given
    folder = open_model(given)
    name = given if given in list_models() else folder.path.resolve().name
    return name, ModelFolder(name, folder.path, folder.checksums)
