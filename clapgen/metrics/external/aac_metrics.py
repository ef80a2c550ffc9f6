"""SPICE, METEOR and FENSE of the package aac-metrics, in its own Python environment.

These scores need Java programs or neural models, which aac-metrics bundles. It cannot be installed with clapgen: it
requires msclap, which requires numpy<2, transformers<5 and torchaudio, whose binaries conflict with a CPU-only torch.
Therefore no extra installs it; it runs in a subprocess that receives captions and returns scores as JSON:

    python -m venv aac
    aac/bin/pip install aac-metrics torch~=2.11.0 torchaudio~=2.11.0    # pip alone picks incompatible versions
    aac/bin/aac-metrics-download                                        # Java programs and models, to ~/.cache

and `python="aac/bin/python"` here, unless clapgen's own Python can import the package. METEOR and SPICE need Java 8
to 13. Captions are never evaluated as code and no pickles are exchanged; what aac-metrics loads (FENSE's error detector
is a pickle), it loads in its own process.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from clapgen.errors import ClapgenError, nearest
from clapgen.metrics.captions.scores import CaptionScores, tokenized
from clapgen.metrics.captions.words import tokenize

METRICS = (
    *("spice", "meteor", "fense", "spider", "spider_fl", "sbert_sim", "fer", "bert_score"),
    *("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider_d", "vocab"),
)
NEED_JAVA = ("spice", "meteor", "spider", "spider_fl")
OLDEST_JAVA, NEWEST_JAVA = 8, 13  # required by aac-metrics
_INSTALL = (
    "python -m venv aac && aac/bin/pip install aac-metrics torch~=2.11.0 torchaudio~=2.11.0 && "
    "aac/bin/aac-metrics-download"
)


def aac_metrics_scores(
    candidates: list[str],
    references: list[list[str]],
    metrics: Sequence[str] = ("spice", "meteor", "fense"),
    python: str | Path | None = None,
    java: str | Path = "java",
    cache: str | Path | None = None,
    device: str = "cpu",
) -> CaptionScores:
    """Scores of aac-metrics (Labbé 2023), with its names: `spice`, `meteor`, `fense` with `sbert_sim` and `fer`, …

    Captions are split by `words.tokenize` instead of Stanford's tokenizer, so only METEOR (Banerjee and Lavie 2005),
    SPICE (Anderson et al. 2016) and scores based on it need Java. `fer` is an error rate: lower is better.

    Args:
        metrics: names from `METRICS`. BLEU, ROUGE-L and CIDEr-D are for comparison; clapgen computes them itself.
        python: the interpreter of the environment that has aac-metrics; this one by default.
        java: the Java program, version 8 to 13.
        cache: the folder of `aac-metrics-download`, if it is not the default one.
        device: torch device of the neural metrics.

    Raises:
        ClapgenError: as `scores.bleu`; an unknown metric; the package, a suitable Java or downloaded files are missing;
            any other error of aac-metrics, with its message.
    """
    if isinstance(metrics, str) or not metrics:
        raise ClapgenError(f"The metrics are {metrics!r}; give a list of one or more of {', '.join(METRICS)}.")
    for name in metrics:
        if name not in METRICS:
            raise ClapgenError(
                f"unknown metric {name!r} of aac-metrics; available: {', '.join(METRICS)}.{nearest(name, METRICS)}"
            )
    clips = tokenized(candidates, references, tokenize)
    interpreter = _interpreter(python)
    if any(name in NEED_JAVA for name in metrics):
        _check_java(str(java), [name for name in metrics if name in NEED_JAVA])
    request = {
        "candidates": [" ".join(candidate) for candidate, _ in clips],
        "references": [[" ".join(reference) for reference in of_clip] for _, of_clip in clips],
        "metrics": list(metrics),
        "java": str(java),
        "cache": None if cache is None else str(cache),
        "device": device,
    }
    return _ask(interpreter, request)


def _interpreter(python: str | Path | None) -> str:
    if python is not None:
        return str(python)
    if importlib.util.find_spec("aac_metrics") is None:
        raise ClapgenError(
            "SPICE, METEOR and FENSE need the package aac-metrics, which cannot be installed with clapgen (it needs "
            f"numpy<2, torchaudio): install it in its own environment ({_INSTALL}), and give aac/bin/python as the "
            "Python of aac-metrics."
        )
    return sys.executable


def _check_java(java: str, metrics: list[str]) -> None:
    needed = f"{' and '.join(metrics)} {'needs' if len(metrics) == 1 else 'need'} Java {OLDEST_JAVA} to {NEWEST_JAVA}"
    try:
        run = subprocess.run([java, "-version"], capture_output=True, text=True, errors="replace", timeout=60)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise ClapgenError(f"{needed}, and {java!r} does not run; install it, or give its path.") from error
    output = run.stderr + run.stdout
    version = re.search(r'version "(?:1\.)?(\d+)[^"]*"', output)
    if run.returncode or not version:
        raise ClapgenError(f"{needed}, but {java!r} prints {output.strip()[:80]!r}; install it, or give its path.")
    if not OLDEST_JAVA <= int(version[1]) <= NEWEST_JAVA:
        raise ClapgenError(
            f"{needed}, and {java!r} is {version[0].removeprefix('version ')}; install an older version and give its "
            "path, or omit these metrics."
        )


def _ask(python: str, request: dict[str, object]) -> CaptionScores:
    worker = Path(__file__).with_name("aac_metrics_worker.py").read_text(encoding="utf-8")
    try:
        # -I: that environment must not import modules from this folder or PYTHONPATH.
        run = subprocess.run([python, "-I", "-c", worker], input=json.dumps(request).encode(), capture_output=True)
    except (OSError, ValueError) as error:
        raise ClapgenError(f"{python!r} cannot be run as the Python of aac-metrics ({error}); give another.") from error
    try:
        answer = json.loads(run.stdout)
    except ValueError as error:
        lines = run.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {run.returncode}"]
        raise ClapgenError(
            f"{python!r} gave no scores ({lines[-1][:200]}); is it the Python of aac-metrics?"
        ) from error
    if "missing" in answer:
        raise ClapgenError(
            f"{python!r} cannot import aac_metrics ({_one_line(answer['missing'])}); create an environment for it "
            f"({_INSTALL})."
        )
    if "failed" in answer:
        raise ClapgenError(
            f"aac-metrics could not compute {', '.join(map(str, request['metrics']))} "  # type: ignore[call-overload]
            f"({_one_line(answer['failed'])}); if files are missing, run its aac-metrics-download."
        )
    return CaptionScores(answer["corpus"], answer["clips"])


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
