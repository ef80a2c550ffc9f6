"""The output of `clapgen locate`: a table or JSON lines on stdout, a CSV table, a label track, a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clapgen.cli.console import clock, print_json, print_result, print_table, print_warning
from clapgen.cli.options import check_new_file
from clapgen.data.csv_cells import write_csv_rows
from clapgen.errors import ClapgenError
from clapgen.files import atomic_path

if TYPE_CHECKING:
    from clapgen.embedders import ClapEmbedder
    from clapgen.localisation.locating import Located, Location
    from clapgen.localisation.segments import SegmentRules
    from clapgen.plot import LocationPicture

COLUMNS = ("file_name", "query", "start", "end", "probability", "peak")
_MOST_NOT_FOUND = 10  # queries named one by one


@dataclass(frozen=True)
class LocateOutput:
    """Where what was found in the file `path` is written."""

    path: Path
    csv: Path | None = None
    labels: Path | None = None
    plot: Path | None = None
    as_json: bool = False
    force: bool = False

    def check(self) -> None:
        """ClapgenError if an output exists, would overwrite the input, or cannot be written; before the work."""
        given = {"--csv": self.csv, "--labels": self.labels, "--plot": self.plot}
        files = {option: path for option, path in given.items() if path is not None}
        if self.plot is not None and self.plot.suffix.lower() != ".png":
            raise ClapgenError(f"--plot {self.plot}: the name must end in .png.")
        for option, path in files.items():
            if path.resolve() == self.path.resolve():
                raise ClapgenError(f"{option} {path} is the input file; choose another name.")
            check_new_file(path, self.force)
        if len({path.resolve() for path in files.values()}) < len(files):
            raise ClapgenError(f"{' and '.join(files)} must name different files.")

    def picture(self, sample_rate: int, queries: Sequence[str]) -> LocationPicture | None:
        """The picture to draw, if one was asked for."""
        if self.plot is None:
            return None
        from clapgen.plot import LocationPicture

        return LocationPicture(sample_rate, queries)

    def give(self, found: Location, rules: SegmentRules, clap: ClapEmbedder, picture: LocationPicture | None) -> None:
        """Write the files, then print."""
        from clapgen.localisation.audacity import write_label_track

        if self.csv is not None:
            self._write(self.csv, lambda path: write_csv_rows(path, COLUMNS, self._rows(found)))
        if self.labels is not None:
            self._write(self.labels, lambda path: write_label_track(found.queries, path))
        if self.plot is not None and picture is not None:
            spans = [[(segment.start, segment.end) for segment in each.segments] for each in found.queries]
            picture.save(self.plot, spans, rules.threshold, self.path.name, self.force)
        if self.as_json:
            for each in found.queries:
                print_json(self._object(each, found, rules.threshold, clap))
        else:
            _print_segments(found, rules)
        if found.note:
            nothing = "" if rules.threshold == 0 else "; nothing can be found in it"
            print_warning(f"{self.path}: {found.note}{nothing}.")

    def _write(self, path: Path, write: Callable[[Path], None]) -> None:
        with atomic_path(path, overwrite=self.force) as temporary:
            write(temporary)

    def _rows(self, found: Location) -> list[list[object]]:
        return [
            [str(self.path), each.query, *(round(value, 4) for value in asdict(segment).values())]
            for each in found.queries
            for segment in each.segments
        ]

    def _object(self, each: Located, found: Location, threshold: float, clap: ClapEmbedder) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "query": each.query,
            "segments": [asdict(segment) for segment in each.segments],
            "peak": each.peak,
            "peak_time": each.peak_time,
            "mean": each.mean,
            "threshold": threshold,
            "seconds": found.seconds,
            "note": found.note,
            "model": clap.name,
            "model_hash": clap.hash,
        }


def _print_segments(found: Location, rules: SegmentRules) -> None:
    rows = [
        (each.query, clock(segment.start), clock(segment.end), f"{segment.probability:.0%}", f"{segment.peak:.0%}")
        for each in found.queries
        for segment in each.segments
    ]
    if rows:
        print_table(("query", "start", "end", "probability", "peak"), rows)
    absent = [each for each in found.queries if not each.segments]
    for each in absent[:_MOST_NOT_FOUND]:
        short = each.peak >= rules.threshold
        reason = f"only for less than {rules.min_seconds:g} s" if short else "not found"
        print_result(f"{each.query}: {reason}; highest probability {each.peak:.0%} at {clock(each.peak_time)}")
    if len(absent) > _MOST_NOT_FOUND:
        print_result(f"and {len(absent) - _MOST_NOT_FOUND} more queries that were not found (all: --json)")
