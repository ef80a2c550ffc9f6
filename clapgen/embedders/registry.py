"""Embedders by name: clapgen's own models, and as ``kind:NAME_OR_FOLDER`` public checkpoints.

The kinds are ``laion:`` (LAION's CLAP), ``msclap:`` (Microsoft's), ``encodec:``, ``dac:`` (codecs) and ``ast:`` (audio
spectrogram transformer), each in a file of its own; ``tagger:FOLDER`` is what `clapgen train tagger` makes. A folder,
file or name on the hub needs no kind: what it is, is seen from its files. Any other can be registered::

    register_embedder("openflam", lambda checkpoint, device: MyFlam(checkpoint, device))
    load_embedder("openflam:v1")
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clapgen.devices import choose_device
from clapgen.embedders.base import ClapEmbedder, Embedder
from clapgen.embedders.checkpoints import find_checkpoint, is_hub_name, model_type_of, pickles_in
from clapgen.errors import ClapgenError
from clapgen.model_store import list_models, parts_of
from clapgen.registry import Registry

if TYPE_CHECKING:
    import torch

Loader = Callable[[str, "torch.device"], Embedder]

EMBEDDERS: Registry[Loader] = Registry("kind of embedder")
OPTIONS = ("window", "dtype")


def register_embedder(kind: str, loader: Loader) -> None:
    """Let `load_embedder("kind:checkpoint")` call ``loader("checkpoint", device)``, with "" if none is given.

    Raises:
        ClapgenError: the kind is empty, contains a colon, or is taken.
    """
    if not kind or ":" in kind or kind in _backends():
        raise ClapgenError(f"an embedder cannot be registered as '{kind}': the name is taken, empty or has a colon.")
    EMBEDDERS.register(kind)(loader)


def load_embedder(name: str = "default", device: str | torch.device = "cpu") -> Embedder:
    """Load an embedder: "default" or another clapgen model (a name or a folder), or a public checkpoint.

    A public checkpoint is a folder or file of one, or its name on the Hugging Face hub (owner/name), which is
    downloaded unless it is in the hub's cache. What it is, is seen from its files; ``kind:`` before the name insists.
    Options may follow: ``laion/clap-htsat-fused,window=first,dtype=bfloat16``.

    Args:
        name: as above. ``window`` is mean (the default), first, centre or fusion (`embedders.windows`); ``dtype`` is
            float32 (the default), bfloat16 or float16, for public CLAPs.

    Raises:
        ClapgenError: an unknown kind, model or option, or files that are missing or damaged.
    """
    from clapgen.embedders.windows import MEAN, with_windows

    device = choose_device(device)
    name, options = split_options(name)
    kind, checkpoint = split_name(name)
    if not kind and (kind := kind_of(name)):
        checkpoint = name
    embedder: Any
    if kind:
        embedder = _backends().get(kind)(checkpoint, device)
    else:
        from clapgen.clap import Clap

        embedder = Clap.from_pretrained(name, device)
    if dtype := options.get("dtype"):
        if not hasattr(embedder, "set_dtype"):
            raise ClapgenError(f"{name} computes in float32; leave out dtype={dtype}.")
        embedder.set_dtype(dtype)
    return with_windows(embedder, options.get("window", MEAN))


def load_clap(name: str | Path = "default", device: str | torch.device = "cpu") -> ClapEmbedder:
    """Load a CLAP, which embeds text as well as audio; arguments and errors as in `load_embedder`.

    Raises:
        ClapgenError: also when the embedder embeds audio only.
    """
    embedder = load_embedder(str(name), device)
    if not isinstance(embedder, ClapEmbedder):
        raise ClapgenError(
            f"{name} embeds audio only; choose a CLAP, which embeds text too: a clapgen model, or a public one such as "
            "laion/clap-htsat-unfused."
        )
    return embedder


def needs_hub(name: str) -> bool:
    """Whether loading this embedder reads from the Hugging Face hub (or from its cache) rather than from a folder."""
    name, _ = split_options(name)
    kind, checkpoint = split_name(name)
    if kind:
        check = getattr(_backends().get(kind), "needs_hub", None)
        return check is not None and check(checkpoint)
    return name not in list_models() and is_hub_name(name)


def find_on_hub(name: str) -> None:
    """Download an embedder that is named as owner/name, without importing torch; nothing for others.

    Raises:
        ClapgenError: it cannot be downloaded.
    """
    name, _ = split_options(name)
    if not split_name(name)[0] and needs_hub(name):
        find_checkpoint(name)


def is_public(name: str) -> bool:
    """Whether a name stands for something other than a clapgen model as it is.

    That is ``kind:…``, a name on the hub, the folder of a public checkpoint, or a model with options.
    """
    name, options = split_options(name)
    return bool(options) or bool(split_name(name)[0]) or needs_hub(name) or bool(kind_of(name))


def split_name(name: str) -> tuple[str, str]:
    """Split ``kind:checkpoint``; a name without a kind has the kind "". The kind is not checked."""
    kind, colon, checkpoint = name.partition(":")
    is_path = len(kind) == 1 or name.startswith(("/", ".", "~")) or Path(name).is_dir()  # C:\model is a path
    if colon and not is_path:
        return kind, checkpoint
    return (name, "") if name in EMBEDDERS and not is_path else ("", name)


def split_options(name: str) -> tuple[str, dict[str, str]]:
    """Split ``NAME,window=first,dtype=bfloat16`` into the name and its options. A path with commas is a name.

    Raises:
        ClapgenError: an option that embedders do not have, or one without a value.
    """
    if "," not in name or Path(name).expanduser().exists():
        return name, {}
    name, *parts = name.split(",")
    options = dict(part.partition("=")[::2] for part in parts)
    for key, value in options.items():
        if key not in OPTIONS or not value:
            raise ClapgenError(
                f"'{key}={value}' after {name} is not an option; write {name},window=first or {name},dtype=bfloat16."
            )
    return name, options


def kind_of(name: str) -> str:
    """The kind of embedder that a public checkpoint holds, as seen from its files; "" for a clapgen model.

    A name on the hub is downloaded.

    Raises:
        ClapgenError: a folder or file of the hub, or with a config.json, that holds no embedder.
    """
    path = Path(name).expanduser()
    if name in list_models() or not (path.exists() or is_hub_name(name)):
        return ""
    path = find_checkpoint(name)
    if path.is_dir() and parts_of(path):
        return ""
    found = model_type_of(path) if path.is_dir() else ""
    if not found and (path.is_file() or pickles_in(path)):
        return _kind_of_pickle(path)
    kinds = {loader.model_type: kind for kind, loader in _kinds() if hasattr(loader, "model_type")}
    if found in kinds:
        return kinds[found]
    if found or is_hub_name(name):
        raise ClapgenError(
            f"{name} holds a model of type '{found}', which is no CLAP nor another embedder; supported: "
            f"{', '.join(kinds)}."
        )
    return ""


def _kind_of_pickle(path: Path) -> str:
    from clapgen.embedders.pickles import read_pickle, sole_pickle

    file = sole_pickle(path)
    weights = read_pickle(file)
    for kind, loader in _kinds():
        if hasattr(loader, "recognises") and loader.recognises(weights):
            return kind
    raise ClapgenError(f"{file} holds weights, but not those of a CLAP of LAION or Microsoft.")


def _kinds() -> list[tuple[str, Any]]:
    backends = _backends()
    return [(kind, backends.get(kind)) for kind in backends]


def _backends() -> Registry[Loader]:
    """The registry, with clapgen's own backends, which are imported on first use because they need torch."""
    from clapgen import tagger  # noqa: F401
    from clapgen.embedders import ast, dac, encodec, laion, microsoft  # noqa: F401

    return EMBEDDERS
