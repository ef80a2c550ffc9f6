"""Recipes: YAML and `key=value` overrides fill dataclasses; an unknown key is an error that names the nearest one."""

import dataclasses
import io
import os
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from clapgen.errors import ClapgenError, nearest
from clapgen.files import atomic_path

Config = TypeVar("Config")
Source = str | os.PathLike[str] | Mapping[str, Any] | None


def load_config(cls: type[Config], source: Source = None, overrides: Sequence[str] = ()) -> Config:
    """Build the dataclass `cls` from its defaults, then `source` (YAML file or dict), then `overrides`.

    Args:
        overrides: `"optimizer.learning_rate=1e-4"`; a dot goes into a nested dataclass, values are YAML.

    Raises:
        ClapgenError: the file is missing or is not YAML, a key is unknown, a value has the wrong type, or a value
            without a default is not given.
    """
    origin = "the configuration" if source is None or isinstance(source, Mapping) else os.fspath(source)
    merged = OmegaConf.structured(cls)
    given, overriding = _read(source), _parse_overrides(overrides)
    for values, where in ((given, origin), (overriding, "the command line")):
        _check_keys(values, cls, where)
        try:
            merged = OmegaConf.merge(merged, values)
        except OmegaConfBaseException as error:
            raise ClapgenError(f"{where}: {_first_line(error)} (key {error.full_key!r}).") from error
    for key in sorted(OmegaConf.missing_keys(given)):  # "???" in a recipe asks for a value, default or not
        if OmegaConf.select(overriding, key) is None:
            raise _no_value(origin, key)
    try:
        return typing.cast(Config, OmegaConf.to_object(merged))
    except MissingMandatoryValue as error:
        raise _no_value(origin, str(error.full_key)) from error
    except OmegaConfBaseException as error:
        raise ClapgenError(f"{origin}: {_first_line(error)}.") from error


def to_dict(config: Any) -> dict[str, Any]:
    """Turn a dataclass, nested or not, into plain dicts, lists and scalars."""
    return typing.cast(dict[str, Any], OmegaConf.to_container(OmegaConf.structured(config)))


def save_config(config: Any, path: str | os.PathLike[str]) -> None:
    """Write a dataclass as YAML, replacing the file in one step; `load_config` reads back an equal one."""
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(OmegaConf.to_yaml(OmegaConf.structured(config)), encoding="utf-8")


def recipe_path(task: str, name_or_path: str | os.PathLike[str] = "default") -> Path:
    """Find a recipe: a YAML file on disk, or the name of one that comes with clapgen (`configs/<task>/<name>.yaml`).

    Raises:
        ClapgenError: there is neither.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    folder = Path(__file__).parent / "configs"  # an installed wheel has the recipes here, a checkout beside the package
    if not folder.is_dir():
        folder = Path(__file__).parent.parent / "configs"
    shipped = {found.stem: found for found in sorted((folder / task).glob("*.yaml"))}
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    known = ", ".join(shipped) or "none"
    hint = nearest(str(name_or_path), shipped)
    raise ClapgenError(
        f"no recipe {str(name_or_path)!r} for {task}: not a file, and the shipped ones are: {known}.{hint}"
    )


def _read(source: Source) -> DictConfig:
    if source is None:
        return OmegaConf.create({})
    if isinstance(source, Mapping):
        return OmegaConf.create(dict(source))
    try:
        values = OmegaConf.load(io.StringIO(_words_quoted(Path(source).read_text(encoding="utf-8-sig"))))
    except OSError as error:
        raise ClapgenError(f"cannot read the configuration {source}: {error.strerror}; check the path.") from error
    except (yaml.YAMLError, UnicodeDecodeError, OmegaConfBaseException) as error:
        raise ClapgenError(f"{source} is not valid YAML: {_first_line(error)}.") from error
    if not isinstance(values, DictConfig):
        raise ClapgenError(f"{source} holds no key: value pairs; see configs/ for examples.")
    return values


def _parse_overrides(overrides: Sequence[str]) -> DictConfig:
    for override in overrides:
        if not override.partition("=")[0].strip() or "=" not in override:
            raise ClapgenError(f"cannot read the override {override!r}; write it as key=value, e.g. batch_size=8.")
    parts = [override.partition("=") for override in overrides]
    try:
        return OmegaConf.from_dotlist([f"{key}={_words_quoted(value)}" for key, _, value in parts])
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ClapgenError(f"cannot read the overrides {' '.join(overrides)}: {_first_line(error)}.") from error


def _words_quoted(text: str) -> str:
    """YAML with `no`, `off`, `yes` and `on` in quotes: words, as in YAML 1.2. A field that is a bool takes them too."""
    for token in reversed([*yaml.scan(text)]):
        if isinstance(token, yaml.ScalarToken) and token.plain and token.value.lower() in ("no", "off", "yes", "on"):
            text = f"{text[: token.start_mark.index]}'{token.value}'{text[token.end_mark.index :]}"
    return text


def _check_keys(values: DictConfig, cls: type, where: str, prefix: str = "") -> None:
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    for key in map(str, values):
        full_key = f"{prefix}{key}"
        if key not in names:
            renamed = {field.metadata.get("formerly"): field.name for field in dataclasses.fields(cls)}.get(key)
            hint = f" It is now called {renamed!r}." if renamed else nearest(key, names)
            hint = hint or f" Known here: {', '.join(names)}."
            raise ClapgenError(f"{where}: unknown key {full_key!r}.{hint}")
        candidates = (hints[key], *typing.get_args(hints[key]))  # the second part: Section | None
        sections = [hint for hint in candidates if isinstance(hint, type) and dataclasses.is_dataclass(hint)]
        value = values._get_node(key)
        if sections and isinstance(value, DictConfig) and not value._is_none():
            _check_keys(value, sections[0], where, f"{full_key}.")
        elif hints[key] in sections:
            known = ", ".join(f"{full_key}.{field.name}" for field in dataclasses.fields(sections[0]))
            raise ClapgenError(f"{where}: {full_key!r} is a section, not a value; set one of {known}.")


def _no_value(origin: str, key: str) -> ClapgenError:
    return ClapgenError(f"{origin}: no value for {key!r}; set it there or as {key}=….")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
