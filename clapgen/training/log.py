"""The log of a training run: log.jsonl, TensorBoard, a progress bar with the time left, and the recipe."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from clapgen.configuration import load_config, save_config, to_dict
from clapgen.errors import ClapgenError
from clapgen.files import atomic_path


class TrainingLog:
    """Writes metrics to log.jsonl and TensorBoard, and shows a progress bar on stderr."""

    def __init__(self, output: Path, step: int, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.path = output / "log.jsonl"
        self._drop_lines_after(step)
        self.console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.progress.add_task("training", total=total, completed=step)
        self.progress.start()
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.board: Any = SummaryWriter(str(output / "tensorboard"), purge_step=step + 1)
        except ImportError:
            self.board = None

    def _drop_lines_after(self, step: int) -> None:
        """Drop the steps that a killed run logged after its last checkpoint; they are trained and logged again."""
        if not self.path.exists():
            return
        lines = [line for line in self.path.read_text().splitlines() if line.endswith("}")]
        with atomic_path(self.path, overwrite=True) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines if json.loads(line)["step"] <= step))

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Log the metrics of a step; keys of validation metrics start with `val/`."""
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")
        if self.board:
            for key, value in metrics.items():
                self.board.add_scalar(key, value, step)
        shown = "  ".join(f"{k.removeprefix('val/')} {v:.4g}" for k, v in metrics.items())
        if not self.console.is_terminal:
            print(f"step {step}  {shown}", flush=True)
        elif any(key.startswith("val/") for key in metrics):  # the bar itself shows the loss only
            self.progress.console.print(f"step {step}  {shown}", highlight=False, markup=False)
        loss = metrics.get("loss", metrics.get("loss_generator"))
        description = f"training, loss {loss:.4f}" if loss is not None else None
        self.progress.update(self.task, completed=step, description=description)

    def close(self) -> None:
        self.progress.stop()
        if self.board:
            self.board.close()

    def message(self, text: str) -> None:
        """Print one line on stderr."""
        self.console.print(text, highlight=False, markup=False)


def record_recipe(recipe: Any, path: Path, resumed: bool) -> None:
    """Write the recipe of a run; print the settings in which a resumed run differs from the recipe it started with."""
    if resumed and path.exists():
        for line in _changes(recipe, path):
            print(line, file=sys.stderr)
    save_config(recipe, path)


def _changes(recipe: Any, path: Path) -> list[str]:
    try:
        old = _flat(to_dict(load_config(type(recipe), path)))
    except ClapgenError as error:  # of an older version, with a key that was renamed since
        return [f"resuming; the settings cannot be compared with those of the run so far ({error})"]
    new = _flat(to_dict(recipe))
    changed = [f"{key} {old.get(key)} -> {value}" for key, value in new.items() if old.get(key) != value]
    return [f"resuming with changed settings: {', '.join(changed)}"] if changed else []


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
