"""What a training run says while it runs: log.jsonl, TensorBoard, and a progress bar with the time left."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from clapgen.configuration import load_config, save_config, to_dict
from clapgen.files import atomic_path


class TrainingLog:
    """log.jsonl, TensorBoard and a progress bar with the time left."""

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
        """A killed run may have logged steps past its last checkpoint: they will be trained, and logged, again."""
        if not self.path.exists():
            return
        lines = [line for line in self.path.read_text().splitlines() if line.endswith("}")]
        with atomic_path(self.path, overwrite=True) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines if json.loads(line)["step"] <= step))

    def write(self, step: int, metrics: dict[str, float]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")
        if self.board:
            for key, value in metrics.items():
                self.board.add_scalar(key, value, step)
        shown = "  ".join(f"{k.removeprefix('val/')} {v:.4g}" for k, v in metrics.items())
        if not self.console.is_terminal:
            print(f"step {step}  {shown}", flush=True)
        elif any(key.startswith("val/") for key in metrics):  # the bar itself has room for the loss alone
            self.progress.console.print(f"step {step}  {shown}", highlight=False, markup=False)
        loss = metrics.get("loss", metrics.get("loss_generator"))
        description = f"training, loss {loss:.4f}" if loss is not None else None
        self.progress.update(self.task, completed=step, description=description)

    def close(self) -> None:
        self.progress.stop()
        if self.board:
            self.board.close()

    def say(self, text: str) -> None:
        """A line for people, on stderr."""
        self.console.print(text, highlight=False, markup=False)


def record_recipe(recipe: Any, path: Path, resumed: bool) -> None:
    """Write the recipe of a run; when it goes on by other settings than it began with, say which."""
    new = _flat(to_dict(recipe))
    if resumed and path.exists():
        old = _flat(to_dict(load_config(type(recipe), path)))
        changed = [f"{key} {old.get(key)} -> {value}" for key, value in new.items() if old.get(key) != value]
        if changed:
            print(f"going on with other settings than before: {', '.join(changed)}", file=sys.stderr)
    save_config(recipe, path)


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
