"""Recipes: YAML and `key=value` overrides fill dataclasses; an unknown key is an error that suggests a known one.

A mapping (`objectives: {sigmoid: 1}`) replaces the default's mapping; `objectives.sigmoid=1` on the command line sets
one of its keys and keeps the others.

A dataclass whose keys were renamed lists them in a class variable, `RENAMED_KEYS: ClassVar[dict[str, str]]`, from the
old key to the new one, with dots into sections; the error for an old key names the new one.
"""

import copy
import dataclasses
import functools
import io
import os
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from clapgen.data.text import read_text
from clapgen.errors import ClapgenError, nearest
from clapgen.files import atomic_path

Config = TypeVar("Config")
Source = str | os.PathLike[str] | Mapping[str, Any] | None

_defaults = functools.cache(OmegaConf.structured)  # slow; merging copies it


def load_config(cls: type[Config], source: Source = None, overrides: Sequence[str] = ()) -> Config:
    """Build the dataclass `cls` from its defaults, then `source` (YAML file or dict), then `overrides`.

    Args:
        overrides: `"optimizer.learning_rate=1e-4"`: dots lead into nested dataclasses, values are YAML. `"text_model="`
            sets an empty text or list.

    Raises:
        ClapgenError: the file is missing or not YAML, a key is unknown, a value has the wrong type, or a required value
            is missing.
    """
    origin = "the configuration" if source is None or isinstance(source, Mapping) else os.fspath(source)
    merged = _defaults(cls)  # type: ignore[arg-type]
    given, overriding = _read(source), _parse_overrides(overrides, cls)
    whole = [override.partition("=")[0].strip() for override in overrides]  # keys whose value is given as a whole
    for values, where, replaced in ((given, origin, None), (overriding, "the command line", whole)):
        if not values:
            continue
        _check_keys(values, cls, where)
        try:
            merged = OmegaConf.merge(_without_defaults(merged, values, cls, replaced), values)
        except OmegaConfBaseException as error:
            key, problem = error.full_key, _first_line(error)
            if "ListConfig" in problem:
                problem = f"a list is needed, such as {key}=[a,b]"
            raise ClapgenError(f"{where}: {problem} (key {key!r}).") from error
    for key in sorted(OmegaConf.missing_keys(given)):  # "???" in a recipe requires a value, even if there is a default
        if OmegaConf.select(overriding, key) is None:
            raise _no_value(origin, key)
    try:
        return typing.cast(Config, OmegaConf.to_object(merged))
    except MissingMandatoryValue as error:
        raise _no_value(origin, str(error.full_key)) from error
    except OmegaConfBaseException as error:
        raise ClapgenError(f"{origin}: {_first_line(error)}.") from error


def to_dict(config: Any) -> dict[str, Any]:
    """Convert a dataclass, nested or not, to plain dicts, lists and scalars."""
    return typing.cast(dict[str, Any], OmegaConf.to_container(OmegaConf.structured(config)))


def save_config(config: Any, path: str | os.PathLike[str]) -> None:
    """Write a dataclass as YAML, replacing the file atomically; `load_config` reads back an equal one."""
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(OmegaConf.to_yaml(OmegaConf.structured(config)), encoding="utf-8")


def recipe_path(task: str, name_or_path: str | os.PathLike[str] = "default") -> Path:
    """Path of a recipe: a YAML file, or the name of one shipped with clapgen (`configs/<task>/<name>.yaml`).

    Raises:
        ClapgenError: it is neither.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    folder = (
        Path(__file__).parent / "configs"
    )  # where an installed wheel has the recipes; a checkout has them next to clapgen/
    if not folder.is_dir():
        folder = Path(__file__).parent.parent / "configs"
    shipped = {found.stem: found for found in sorted((folder / task).glob("*.yaml"))}
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    known = ", ".join(shipped) or "none"
    hint = nearest(str(name_or_path), shipped)
    raise ClapgenError(
        f"no recipe {str(name_or_path)!r} for {task}: it is neither a file nor a shipped recipe ({known}).{hint}"
    )


def _read(source: Source) -> DictConfig:
    if source is None:
        return OmegaConf.create({})
    if isinstance(source, Mapping):
        return OmegaConf.create(dict(source))
    text = read_text(Path(source))
    try:
        values = OmegaConf.load(io.StringIO(_words_quoted(text)))
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or _first_line(error)
        raise ClapgenError(f"{source}{_line_of(error, text)} is not valid YAML: {problem}.") from error
    if not isinstance(values, DictConfig):
        raise ClapgenError(f"{source} has no key: value pairs; see configs/ for examples.")
    return values


def _without_defaults(
    defaults: DictConfig, values: DictConfig, cls: type, replaced: Sequence[str] | None, prefix: str = ""
) -> DictConfig:
    """`defaults` with an empty mapping where `values` gives one: everywhere, or only at the keys in `replaced`."""
    emptied = copy.copy(defaults)
    hints = typing.get_type_hints(cls)
    for key in map(str, values):
        value, default, full_key = values._get_node(key), emptied._get_node(key), f"{prefix}{key}"
        if not isinstance(value, DictConfig) or not isinstance(default, DictConfig) or value._is_none():
            continue
        if typing.get_origin(hints[key]) is dict:
            if replaced is None or full_key in replaced:
                emptied[key] = {}
        elif (section := _section(hints[key])) and not default._is_none():
            emptied[key] = _without_defaults(default, value, section, replaced, f"{full_key}.")
    return emptied


def _parse_overrides(overrides: Sequence[str], cls: type) -> DictConfig:
    for override in overrides:
        if not override.partition("=")[0].strip() or "=" not in override:
            raise ClapgenError(f"cannot read the override {override!r}; write it as key=value, e.g. batch_size=8.")
    parts = [override.partition("=") for override in overrides]
    try:
        return OmegaConf.from_dotlist([f"{key}={_words_quoted(value) or _empty(cls, key)}" for key, _, value in parts])
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ClapgenError(f"cannot read the overrides {' '.join(overrides)}: {_first_line(error)}.") from error


def _empty(cls: type, key: str) -> str:
    """What `key=` without a value means: an empty text or list; null for everything else."""
    hint: Any = cls
    for name in key.strip().split("."):
        section = _section(hint)
        hint = typing.get_type_hints(section).get(name) if section else None
    if typing.get_origin(hint) is list:
        return "[]"
    return "''" if hint is str else ""


def _words_quoted(text: str) -> str:
    """Quote `no`, `off`, `yes` and `on` to keep them strings, as in YAML 1.2. Bool fields accept the strings too."""
    for token in reversed([*yaml.scan(text)]):
        if isinstance(token, yaml.ScalarToken) and token.plain and token.value.lower() in ("no", "off", "yes", "on"):
            text = f"{text[: token.start_mark.index]}'{token.value}'{text[token.end_mark.index :]}"
    return text


def _check_keys(values: DictConfig, cls: type, where: str, prefix: str = "") -> None:
    hints = typing.get_type_hints(cls)
    for key in map(str, values):
        full_key = f"{prefix}{key}"
        if key not in _names(cls):
            raise ClapgenError(f"{where}: unknown key {full_key!r}.{_suggestion(key, cls, prefix)}")
        section = _section(hints[key])
        value = values._get_node(key)
        if section and isinstance(value, DictConfig) and not value._is_none():
            _check_keys(value, section, where, f"{full_key}.")
        elif section is hints[key]:
            known = ", ".join(f"{full_key}.{name}" for name in _names(section))
            raise ClapgenError(f"{where}: {full_key!r} is a section, not a value; set one of {known}.")


def _names(cls: type) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]


def _section(hint: Any) -> type | None:
    """The nested dataclass of a field with this type, which may be optional."""
    candidates = (hint, *typing.get_args(hint))
    return next((c for c in candidates if isinstance(c, type) and dataclasses.is_dataclass(c)), None)


def _suggestion(key: str, cls: type, prefix: str) -> str:
    """The new name of a renamed key, the same key in a section, the nearest key, or all keys."""
    renamed = getattr(cls, "RENAMED_KEYS", {})
    if key in renamed:
        return f" It is now {prefix + renamed[key]!r}."
    sections = ((name, _section(hint)) for name, hint in typing.get_type_hints(cls).items())
    for name, section in sections:
        if section and key in _names(section):
            return f" Did you mean {f'{prefix}{name}.{key}'!r}?"
    return nearest(key, _names(cls)) or f" Known here: {', '.join(_names(cls))}."


def _line_of(error: Exception, text: str) -> str:
    if mark := getattr(error, "problem_mark", None):
        return f":{mark.line + 1}"
    if isinstance(error, yaml.reader.ReaderError):  # a character that YAML does not allow
        line = text.count("\n", 0, int(error.position)) + 1
        return f":{line}"
    return ""


def _no_value(origin: str, key: str) -> ClapgenError:
    return ClapgenError(f"{origin}: no value for {key!r}; set it there or with {key}=….")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
