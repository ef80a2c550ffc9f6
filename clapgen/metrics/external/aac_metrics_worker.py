"""Runs in the Python environment of aac-metrics: reads a request as JSON from stdin, writes scores as JSON to stdout.

It imports nothing of clapgen, which is not installed there, and runs on any Python that aac-metrics supports.
`aac_metrics.py` starts it and defines the request.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def scores(request: dict[str, Any]) -> dict[str, Any]:
    """`corpus` and `clips` of `aac_metrics.evaluate`; or `missing`/`failed` with the reason."""
    try:
        from aac_metrics import evaluate
    except Exception as error:  # of any import: ImportError, OSError of torchaudio, …
        return {"missing": f"{type(error).__name__}: {error}"}
    try:
        corpus, clips = evaluate(
            request["candidates"],
            request["references"],
            preprocess=False,  # the captions are tokenized already
            metrics=request["metrics"],
            cache_path=request["cache"],
            java_path=request["java"],
            device=request["device"],
        )
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}
    return {
        "corpus": {name: float(value) for name, value in corpus.items()},
        "clips": {name: [float(value) for value in values] for name, values in clips.items()},
    }


if __name__ == "__main__":
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # keep what libraries print out of the answer
    json.dump(scores(json.load(sys.stdin.buffer)), answer)
    answer.close()
