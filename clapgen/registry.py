"""Registries: one way to add, list and look up a part by its name, for samplers, objectives, bridges, embedders, …"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from clapgen.errors import ClapgenError, nearest

Part = TypeVar("Part")


class Registry(Generic[Part]):
    """Parts of one kind by name, listed in the order in which they were registered.

    >>> samplers: Registry[Callable] = Registry("sampler")
    >>> @samplers.register("euler")
    ... def sample_euler(velocity, latents, times): ...
    >>> samplers.get("euler") is sample_euler
    True
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._parts: dict[str, Part] = {}

    def register(self, name: str) -> Callable[[Any], Any]:
        """Decorator that adds a class or function under `name`. A name that is taken is a `ValueError`."""

        def add(part: Part) -> Part:
            if name in self._parts:
                raise ValueError(f"there is already a {self.kind} named '{name}'")
            self._parts[name] = part
            return part

        return add

    def get(self, name: str) -> Part:
        """The part with this name. An unknown name is a `ClapgenError` that suggests the nearest one."""
        if name not in self._parts:
            raise ClapgenError(
                f"unknown {self.kind} '{name}'.{nearest(name, self._parts)} Available: {', '.join(self._parts)}."
            )
        return self._parts[name]

    def create(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call the part with this name."""
        part: Any = self.get(name)
        return part(*args, **kwargs)

    def names(self) -> list[str]:
        """All names."""
        return list(self._parts)

    def __contains__(self, name: object) -> bool:
        return name in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)
