"""Models on disk: one folder per part with a config and safetensors weights, protected by checksums.

A model is a directory::

    my-model/
        clap/         config.yaml  model.safetensors  (and what else the part needs, as tokenizer.json)
        autoencoder/  config.yaml  model.safetensors
        diffusion/    config.yaml  model.safetensors
        MODEL_CARD.md
        checksums.json              sha256 of every file of every part

Weights are safetensors only, never pickles: opening somebody else's model cannot run code.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from clapgen.configuration import load_config, save_config
from clapgen.errors import ClapgenError, nearest
from clapgen.files import atomic_path

if TYPE_CHECKING:
    import torch

CONFIG_FILE = "config.yaml"
WEIGHTS_FILE = "model.safetensors"
CHECKSUMS_FILE = "checksums.json"
CARD_FILE = "MODEL_CARD.md"
BUNDLED_MODELS = Path(__file__).parent / "models"
LARGEST_HALF = 65504.0

Config = TypeVar("Config")
AnyModule = TypeVar("AnyModule", bound="torch.nn.Module")


@dataclass(frozen=True)
class ModelFolder:
    """A model on disk whose checksums have been read, so that loading several of its parts reads them once."""

    name: str
    path: Path
    checksums: Mapping[str, str]  # sha256 by "part/file"


Model = str | Path | ModelFolder


@dataclass(frozen=True)
class FileCheck:
    """Result of checking one file of a model: `problem` is empty if the file is as it was saved."""

    file: Path
    problem: str


def list_models() -> list[str]:
    """Names of the models bundled with the package."""
    if not BUNDLED_MODELS.is_dir():
        return []
    return sorted(folder.name for folder in BUNDLED_MODELS.iterdir() if parts_of(folder))


def parts_of(model_dir: Path) -> list[str]:
    """Names of the parts found in a model folder, such as ``["autoencoder", "clap"]``."""
    if not model_dir.is_dir():
        return []
    return sorted(folder.name for folder in model_dir.iterdir() if (folder / WEIGHTS_FILE).is_file())


def resolve_model(name_or_path: str | Path) -> Path:
    """The folder of a bundled model (by name) or of a model on disk (by path).

    Raises ClapgenError, with the nearest known name, if it is neither.
    """
    name = str(name_or_path)
    if name in list_models():
        return BUNDLED_MODELS / name
    folder = Path(name_or_path).expanduser()
    if name and folder.is_dir():
        return folder
    if folder.is_file():
        raise ClapgenError(
            f"{name} is a file, but a model is a folder; give the folder with clap/, diffusion/, … in it."
        )
    neighbours = [str(folder.parent / found.name) for found in _folders_in(folder.parent) if parts_of(found)]
    raise ClapgenError(
        f"No model called '{name}'.{nearest(name, list_models() + neighbours)} "
        "Give a name from `clapgen models` or the path of a model folder."
    )


def open_model(model: Model) -> ModelFolder:
    """The folder of a model, by name or path, with its checksums; a `ModelFolder` is returned as it is.

    Raises ClapgenError as `resolve_model` does, and when `checksums.json` cannot be read.
    """
    return model if isinstance(model, ModelFolder) else _opened(resolve_model(model), str(model))


def _opened(model: Model, name: str = "") -> ModelFolder:
    """As `open_model`, for functions that take a path literally: it may not hold a model yet."""
    if isinstance(model, ModelFolder):
        return model
    return ModelFolder(name or str(model), Path(model), _read_checksums(Path(model)))


def _folders_in(folder: Path) -> list[Path]:
    try:
        return [found for found in folder.iterdir() if found.is_dir()]
    except OSError:
        return []


def save_part(
    model_dir: str | Path,
    part: str,
    config: Any,
    weights: torch.nn.Module | dict[str, torch.Tensor],
    half: bool = True,
) -> Path:
    """Write one part of a model, replacing an earlier version of it, and record the checksums of its folder.

    Write other files of the part, such as a tokenizer, into the folder first; their checksums are recorded too.
    Both files are complete on disk before either gets its final name, so an interrupted or failed save (a full disk)
    leaves the earlier version as it was.

    Args:
        model_dir: folder of the model, created if missing.
        part: folder name of the part, for example ``"clap"``.
        config: the dataclass that describes the network; weights: the network, or its state dict.
        half: store floating-point tensors as float16, except tensors with values beyond its range.

    Returns: the folder of the part.
    """
    from safetensors.torch import save

    folder = Path(model_dir) / part
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClapgenError(f"Cannot create the model folder {folder}: {error.strerror}.") from error
    state = weights if isinstance(weights, dict) else weights.state_dict()
    # Serialised in memory: safetensors' own writer reports a full disk as an error without errno.
    content = save({key: _as_stored(tensor, half) for key, tensor in state.items()}, metadata={"format": "pt"})
    with (
        atomic_path(folder / CONFIG_FILE, overwrite=True) as config_path,
        atomic_path(folder / WEIGHTS_FILE, overwrite=True) as weights_path,
    ):
        save_config(config, config_path)
        weights_path.write_bytes(content)
    _record_part(Path(model_dir), part)
    return folder


def _as_stored(tensor: torch.Tensor, half: bool) -> torch.Tensor:
    import torch

    tensor = tensor.detach().to("cpu")
    if half and tensor.is_floating_point() and bool((tensor.abs() <= LARGEST_HALF).all()):
        tensor = tensor.to(torch.float16)
    return tensor.clone(memory_format=torch.contiguous_format)  # safetensors refuses tensors that share memory


def load_part(model: Model, part: str, config_class: type[Config]) -> tuple[Config, dict[str, torch.Tensor]]:
    """Read one part of a model folder: its config and its state dict, floating-point tensors as float32.

    Raises ClapgenError naming the file when one is missing, truncated, corrupt, or not what was saved.
    """
    config, state = read_part(model, part, config_class)
    return config, {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in state.items()}


def read_part(model: Model, part: str, config_class: type[Config]) -> tuple[Config, dict[str, torch.Tensor]]:
    """As `load_part`, but with the tensors as they are stored, floating-point ones usually as float16."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    model = _opened(model)
    folder = model.path / part
    names = {key.split("/", 1)[1] for key in model.checksums if _belongs(key, part)} | {CONFIG_FILE, WEIGHTS_FILE}
    for name in sorted(names):
        content = _read_file(folder / name)
        problem = _problem(folder / name, content, model.checksums.get(f"{part}/{name}"))
        if problem:
            raise ClapgenError(f"{folder / name} {problem}")
        if name == WEIGHTS_FILE:
            weights = content
    config = load_config(config_class, folder / CONFIG_FILE)
    try:
        return config, load(weights)
    except SafetensorError as error:
        raise ClapgenError(f"{folder / WEIGHTS_FILE} cannot be read ({error}). {_REINSTALL}") from error


def load_module(model: Model, part: str, config_class: type[Config], build: Callable[[Config], AnyModule]) -> AnyModule:
    """Build the network of one part, fill it with its weights, and put it in evaluation mode.

    Raises ClapgenError as `load_part` does, and when weights are missing, unexpected, or of another shape.
    """
    model = _opened(model)
    config, state = read_part(model, part, config_class)
    with _without_initialisation():
        module = build(config)
    fill_module(module, state, model.path / part / WEIGHTS_FILE)
    return module.eval()


@contextlib.contextmanager
def _without_initialisation() -> Iterator[None]:
    """Do not initialise new parameters at random: they are about to be overwritten, and drawing those of the default
    model takes a fifth of a second."""
    from torch.overrides import TorchFunctionMode

    class SkipDraws(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if getattr(func, "__name__", "") in ("kaiming_uniform_", "uniform_", "normal_"):
                return args[0] if args else kwargs["tensor"]
            return func(*args, **kwargs)

    with SkipDraws():
        yield


def fill_module(module: torch.nn.Module, state: dict[str, torch.Tensor], file: Path) -> None:
    """Copy a state dict into a network; ClapgenError names `file` and the first key that does not match."""
    expected = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    problems = [f"lacks '{key}'" for key in expected if key not in state]
    problems += [f"has an unknown weight '{key}'" for key in state if key not in expected]
    problems += [
        f"has '{key}' of shape {tuple(state[key].shape)} where the config requires {shape}"
        for key, shape in expected.items()
        if key in state and tuple(state[key].shape) != shape
    ]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ClapgenError(f"{file} does not match its {CONFIG_FILE}: it {problems[0]}{more}. {_REINSTALL}")
    module.load_state_dict(state)


def save_part_file(model_dir: str | Path, part: str, name: str, content: bytes) -> Path:
    """Add a file to a part that is there, or replace it, and record its checksum; those of other files stay.

    Raises:
        ClapgenError: the model has no such part, or its folder cannot be written to.
    """
    file, checksums = Path(model_dir) / part / name, _read_checksums(Path(model_dir))
    if f"{part}/{WEIGHTS_FILE}" not in checksums:
        raise ClapgenError(f"{model_dir} has no part {part}/ to which {name} could be added.")
    with atomic_path(file, overwrite=True) as temporary:
        temporary.write_bytes(content)
    _write_checksums(Path(model_dir), {**checksums, f"{part}/{name}": _sha256(content)})
    return file


def read_part_file(model: Model, part: str, name: str) -> bytes | None:
    """A file that a part may have, such as `diffusion/captions.txt`; None if it has none.

    Raises:
        ClapgenError: it is damaged, or there but not recorded.
    """
    model = _opened(model)
    file, expected = model.path / part / name, model.checksums.get(f"{part}/{name}")
    if expected is None and not file.exists():
        return None
    content = _read_file(file)
    if problem := _problem(file, content, expected):
        raise ClapgenError(f"{file} {problem}")
    return content


def copy_part(source: str | Path, model_dir: str | Path, part: str) -> None:
    """Copy a part of another model folder unchanged and record its checksums."""
    folder = Path(model_dir) / part
    folder.mkdir(parents=True, exist_ok=True)
    for name in _files_of(Path(source) / part):
        content = _read_file(Path(source) / part / name)
        with atomic_path(folder / name, overwrite=True) as temporary:
            temporary.write_bytes(content)
    _record_part(Path(model_dir), part)


def is_same_part(source: str | Path, model_dir: str | Path, part: str) -> bool:
    """Whether both model folders record the same files of a part."""
    recorded = (_read_checksums(Path(folder)) for folder in (source, model_dir))
    here, there = ({key: digest for key, digest in sums.items() if _belongs(key, part)} for sums in recorded)
    return bool(here) and here == there


def weights_hash(model: Model, part: str) -> str:
    """First 12 hex digits of the sha256 of a part's weights, as recorded and as `load_part` checks."""
    model = _opened(model)
    key = f"{part}/{WEIGHTS_FILE}"
    digest = model.checksums.get(key)
    if digest is None:
        raise ClapgenError(f"{model.path / CHECKSUMS_FILE} does not list {key}. {_RECORD}")
    return digest[:12]


def part_hashes(model: Model, parts: Iterable[str]) -> dict[str, str]:
    """`weights_hash` of several parts. ClapgenError names the first part that the model lacks."""
    model = _opened(model)
    for part in parts:
        if not (model.path / part / WEIGHTS_FILE).is_file():
            found = ", ".join(parts_of(model.path)) or "none"
            raise ClapgenError(
                f"{model.path / part / WEIGHTS_FILE} is missing; parts found in the model: {found}. {_REINSTALL}"
            )
    return {part: weights_hash(model, part) for part in parts}


def verify_model(model_dir: str | Path) -> list[FileCheck]:
    """Check every file of a model against its recorded checksum; does not raise for a bad file."""
    model_dir = Path(model_dir)
    checksums = _read_checksums(model_dir)
    on_disk = {f"{part}/{name}" for part in parts_of(model_dir) for name in _files_of(model_dir / part)}
    checks = []
    for key in sorted(on_disk | checksums.keys()):
        try:
            problem = _problem(model_dir / key, _read_file(model_dir / key), checksums.get(key))
        except ClapgenError:
            problem = f"is missing. {_REINSTALL}"
        checks.append(FileCheck(model_dir / key, problem))
    return checks


def record_checksums(model_dir: str | Path) -> None:
    """Re-record the checksums of a model after an intentional edit or copy."""
    model_dir = Path(model_dir)
    if not parts_of(model_dir):
        raise ClapgenError(f"{model_dir} is not a model: none of its folders has a {WEIGHTS_FILE}.")
    digests: dict[str, str] = {}
    for part in parts_of(model_dir):
        digests |= _digests_of(model_dir, part)
    _write_checksums(model_dir, digests)


def _record_part(model_dir: Path, part: str) -> None:
    """Record the checksums of one part as it is on disk; those of other parts stay."""
    others = {key: digest for key, digest in _read_checksums(model_dir).items() if not _belongs(key, part)}
    _write_checksums(model_dir, others | _digests_of(model_dir, part))


def _belongs(key: str, part: str) -> bool:
    return key.startswith(f"{part}/")


def _files_of(folder: Path) -> list[str]:
    present = {file.name for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")}
    return sorted(present | {CONFIG_FILE, WEIGHTS_FILE})


def _digests_of(model_dir: Path, part: str) -> dict[str, str]:
    return {f"{part}/{name}": _sha256(_read_file(model_dir / part / name)) for name in _files_of(model_dir / part)}


_REINSTALL = "Reinstall the package, or export or copy the model again."
_RECORD = "After an intentional change or copy, run `clapgen models verify --record` on the model."


def _problem(file: Path, content: bytes, expected_digest: str | None) -> str:
    """What is wrong with a model file, as a sentence without its subject, the file name; "" if nothing is."""
    if file.name == WEIGHTS_FILE:
        length = _safetensors_length(content)
        if length is None:
            return f"is not a safetensors file. {_REINSTALL}"
        if len(content) < length:
            return f"is truncated: {len(content):,} of {length:,} bytes. {_REINSTALL}"
    if expected_digest is None:
        return f"is not listed in {CHECKSUMS_FILE}. {_RECORD}"
    if _sha256(content) != expected_digest:
        return f"is damaged or was changed: its sha256 differs from {CHECKSUMS_FILE}. {_REINSTALL} {_RECORD}"
    return ""


def _safetensors_length(content: bytes) -> int | None:
    """Length in bytes of the whole file according to its safetensors header; None if there is no such header."""
    header_length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or content[8:9] not in (b"{", b""):
        return None
    if len(content) < 8 + header_length:
        return 8 + header_length
    try:
        header = json.loads(content[8 : 8 + header_length])
        return (
            8 + header_length + max((v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"), default=0)
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ClapgenError(f"{path} is missing. {_REINSTALL}") from None
    except OSError as error:
        raise ClapgenError(f"{path} cannot be read: {error.strerror}.") from error


def _read_checksums(model_dir: Path) -> dict[str, str]:
    path = model_dir / CHECKSUMS_FILE
    if not path.exists():
        return {}
    try:
        checksums = json.loads(_read_file(path))
    except (ValueError, RecursionError):
        checksums = None
    if not isinstance(checksums, dict) or not all(isinstance(digest, str) for digest in checksums.values()):
        raise ClapgenError(f"{path} does not map file names to checksums. {_REINSTALL} {_RECORD}")
    return checksums


def _write_checksums(model_dir: Path, checksums: dict[str, str]) -> None:
    with atomic_path(model_dir / CHECKSUMS_FILE, overwrite=True) as path:
        path.write_text(json.dumps(checksums, indent=2, sort_keys=True) + "\n")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
