"""The output of `clapgen caption`: text or JSON lines on stdout, tables, and a sidecar next to each file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clapgen.cli.console import clock, print_json, print_result, print_warning
from clapgen.cli.options import check_new_file, make_writable_folder
from clapgen.data.csv_cells import write_csv_rows
from clapgen.devices import library_versions
from clapgen.errors import ClapgenError
from clapgen.files import atomic_path

if TYPE_CHECKING:
    from captioning.segments import CaptionedFile, Segment

SIDECAR_SUFFIX = ".caption.json"
COLUMNS = ("file_name", "start", "end", "caption_predicted", "score", "note")  # the names that aac-metrics reads


def sidecar_of(path: Path) -> Path:
    """Sidecar with the captions of an audio file: dog.wav.caption.json next to dog.wav."""
    return path.with_name(path.name + SIDECAR_SUFFIX)


@dataclass(frozen=True)
class Output:
    """Where captions are written, and the score below which they are marked as unsure."""

    paths: Sequence[Path]
    csv: Path | None = None
    jsonl: Path | None = None
    sidecar: bool = False
    as_json: bool = False
    min_score: float | None = None
    force: bool = False
    made_by: dict[str, Any] = field(default_factory=dict)  # model and bridge, in every row
    settings: dict[str, Any] = field(default_factory=dict)  # the remaining settings, in sidecars only
    rows: list[dict[str, Any]] = field(default_factory=list)

    def check(self) -> None:
        """ClapgenError if an output file exists, would overwrite an input, or cannot be written; before the work."""
        sounds = {path.resolve() for path in self.paths}
        tables = [path for path in (self.csv, self.jsonl) if path is not None]
        for path in tables:
            if path.resolve() in sounds:
                raise ClapgenError(f"{path} is one of the input files; choose another name for the captions.")
            check_new_file(path, self.force)
        if len({path.resolve() for path in tables}) < len(tables):
            raise ClapgenError(f"--csv and --jsonl both name {self.csv}; choose two names.")
        if self.sidecar and Path("-") in self.paths:
            raise ClapgenError("--sidecar needs files; standard input (-) has no folder. Use --jsonl FILE.")
        if self.sidecar:
            for folder in {path.parent for path in self.paths}:
                make_writable_folder(folder)
            for path in self.paths:
                check_new_file(sidecar_of(path), self.force)

    def add(self, file: CaptionedFile) -> None:
        """Print the captions of a file and write its sidecar."""
        rows = [self._row(file.path, segment) for segment in file.segments]
        self.rows.extend(rows)
        if self.sidecar:
            own = [{key: value for key, value in row.items() if key not in ("path", *self.made_by)} for row in rows]
            record = {
                "path": file.path.name,
                "captions": own,
                **self.made_by,
                **self.settings,
                "versions": library_versions(),
            }
            _write(sidecar_of(file.path), json.dumps(record, indent=2, ensure_ascii=False) + "\n", self.force)
        for row in rows:
            if self.as_json:
                print_json(row)
            else:
                print_result("\t".join(self._fields(row, len(rows) > 1)))
        self._print_warnings(file.path, rows)

    def write_tables(self) -> list[Path]:
        """Write --csv and --jsonl with the captions so far, if there are any; returns the files written."""
        written: list[tuple[Path, Callable[[Path], None]]] = []
        if self.rows and self.csv is not None:
            written.append((self.csv, self._write_csv))
        if self.rows and self.jsonl is not None:
            written.append((self.jsonl, self._write_jsonl))
        for path, write in written:
            with atomic_path(path, overwrite=self.force) as temporary:
                write(temporary)
        return [path for path, _ in written]

    def _row(self, path: Path, segment: Segment) -> dict[str, Any]:
        caption = segment.caption
        return {
            "path": str(path),
            "start": round(segment.start, 3),
            "end": round(segment.end, 3),
            "caption": caption.text,
            "score": caption.score,
            "unsure": self.min_score is not None and not caption.note and caption.score < self.min_score,
            "note": caption.note,
            "candidates": [{"caption": each.text, "score": each.score} for each in caption.candidates],
            **self.made_by,
        }

    def _fields(self, row: dict[str, Any], windows: bool) -> list[str]:
        """Fields of an output line: path if there are several files, times if there are windows, caption."""
        caption = f"[{row['caption']}]" if row["unsure"] else row["caption"]
        path = [row["path"]] if len(self.paths) > 1 else []
        times = [_times(row)] if windows else []
        return [*path, *times, caption]

    def _print_warnings(self, path: Path, rows: Sequence[dict[str, Any]]) -> None:
        silent = [row for row in rows if row["note"]]
        if silent and len(rows) == 1:
            print_warning(f"{path}: {silent[0]['note']}; not captioned.")
        elif silent:
            print_warning(f"{path}: {len(silent)} of {len(rows)} windows are silent.")
        if not self.as_json:
            for row in rows:
                if row["unsure"]:
                    where = f"{path} {_times(row)}" if len(rows) > 1 else str(path)
                    print_warning(f"{where}: unsure; the CLAP score {row['score']:.2f} is below {self.min_score:g}.")

    def _write_csv(self, path: Path) -> None:
        rows = []
        for row in self.rows:
            note = "; ".join(filter(None, [row["note"], "unsure" if row["unsure"] else ""]))
            rows.append([row["path"], row["start"], row["end"], row["caption"], round(row["score"], 4), note])
        write_csv_rows(path, COLUMNS, rows)

    def _write_jsonl(self, path: Path) -> None:
        lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in self.rows)
        text = "".join(f"{line}\n" for line in lines)
        path.write_text(text, encoding="utf-8", errors="backslashreplace")  # of names that are not UTF-8


def _write(path: Path, text: str, force: bool) -> None:
    with atomic_path(path, overwrite=force) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _times(row: dict[str, Any]) -> str:
    return f"{clock(row['start'])}–{clock(row['end'])}"
