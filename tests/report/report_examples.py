"""A report with everything in it, and text in every place that would break a careless page."""

from pathlib import Path

from clapgen.evaluation import Confusion, Metric, Report, Skipped

NASTY = "<script>alert(1)</script>\"'&amp;\x00\udcff\u202e]]>,\r\n\n;é雨"


def full_report(paths: list[Path], text: str = NASTY) -> Report:
    """A row for each path (and one for a file that is not there), with `text` wherever users or files give text."""
    clips: list[dict[str, str | float | int | None]] = [
        {"path": str(path), "score": index / 8, "rank": index + 1, "prompt": text, text: text}
        for index, path in enumerate(paths)
    ]
    clips.append({"path": text, "score": float("nan"), "rank": None, "prompt": None, text: ""})
    return Report(
        kind="generation",
        title=f"Title {text}",
        metrics=[
            Metric("CLAP score", 0.3123, 200, (0.29, 0.334), "−1 to 1", True, text),
            Metric("FAD", float("nan"), 200, (0.0, float("inf")), higher_is_better=False, note="symmetric"),
            Metric(text, None, 1, note="needs 2 clips"),
        ],
        clips=clips,
        classes=[
            {"class": "dog", "n": 8, "accuracy": 0.9, "taken for": text},
            {"class": text, "n": 8, "accuracy": 0.2, "taken for": None},
            {"class": "silent", "n": 0, "accuracy": None, "taken for": None},
        ],
        confusion=Confusion(["dog", text], [[9, 1], [3, 0]]),
        settings={"model": "default", text: {text: [text, 1.5, None, True]}},
        warnings=["the clips are silent", text],
        skipped=[Skipped(text, text)],
        seconds=12.34,
        command=f"clapgen evaluate generation {text}",
        versions={"clapgen": "0.1", text: text},
        date="2025-11-21T10:00:00+00:00",
        lower_is_better=["rank"],
        sounds=set(map(str, paths)),
    )
