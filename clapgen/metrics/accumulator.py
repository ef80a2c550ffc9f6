"""Metrics over batches and processes, with the same result as over all items at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np

from clapgen.errors import ClapgenError

State = TypeVar("State")
Result = TypeVar("Result")


class Accumulator(ABC, Generic[State, Result]):
    """A metric over batches: `update` with each batch, `merge` what another process accumulated, then `compute`.

    A subclass defines the state kept of a batch and the metric of all states. A batch that is refused leaves no trace.
    """

    settings_name: ClassVar[str] = "settings"

    def __init__(self, *settings: Any) -> None:
        self._settings = settings
        self._states: list[State] = []

    def update(self, *batch: Any) -> None:
        """Add a batch, given as in the function of the metric."""
        self._states = self._reduced([*self._states, self._state_of(*batch)])

    def merge(self, other: Self) -> None:
        """Add what another accumulator of the same settings saw, after what this one did.

        Raises:
            ClapgenError: the settings differ.
        """
        if not all(map(np.array_equal, self._settings, other._settings)):
            raise ClapgenError(f"Accumulators can only be merged if they have the same {self.settings_name}.")
        if other._states:
            self._states = self._reduced([*self._states, *other._states])

    def compute(self, **options: Any) -> Result:
        """The metric of all batches so far. Raises `ClapgenError` if there are too few items."""
        return self._result_of(self._states, **options)

    def of(self, *batch: Any, **options: Any) -> Result:
        """The metric of one batch that has all items."""
        self.update(*batch)
        return self.compute(**options)

    @abstractmethod
    def _state_of(self, *batch: Any, **options: Any) -> State:
        """What is kept of a batch. Raises `ClapgenError` if the batch cannot be used."""

    @abstractmethod
    def _result_of(self, *states: Any, **options: Any) -> Result:
        """The metric, from one argument: the list of states."""

    def _reduced(self, states: list[State]) -> list[State]:
        """The states joined into one, for metrics whose state does not grow with the number of batches."""
        return states
