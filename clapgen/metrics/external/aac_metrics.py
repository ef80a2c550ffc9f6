"""SPICE, METEOR and FENSE by the package aac-metrics, in a Python environment of its own.

They need Java programs or neural models that only that package brings together, and the package cannot stand beside
clapgen: it requires msclap, which requires numpy<2, transformers<5 and torchaudio, whose binaries break beside a CPU
torch. So no extra installs it; it is driven through a pipe, where captions go out and scores come back as JSON:

    python -m venv aac
    aac/bin/pip install aac-metrics torch~=2.11.0 torchaudio~=2.11.0    # pip alone picks two that do not go together
    aac/bin/aac-metrics-download                                        # Java programs and models, into ~/.cache

and `python="aac/bin/python"` here. Where clapgen's own Python can import the package that is not needed. METEOR and
SPICE run on Java 8 to 13. Nothing of the captions is evaluated, and no pickle passes between the two; what aac-metrics
loads (FENSE's error detector is a pickle) it loads in its own process.
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
OLDEST_JAVA, NEWEST_JAVA = 8, 13  # what aac-metrics accepts
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
    """Scores by aac-metrics (Labbé 2023), by its own names: `spice`, `meteor`, `fense` with `sbert_sim` and `fer`, …

    Captions are cut by `caption_words.tokenize` instead of Stanford's tokenizer, so that Java is needed by METEOR
    (Banerjee and Lavie 2005), SPICE (Anderson et al. 2016) and what is made of it alone. `fer` is a rate of errors:
    lower is better.

    Args:
        metrics: of `METRICS`. BLEU, ROUGE-L and CIDEr-D are there to compare; `captions` has them without all this.
        python: the interpreter of the environment that has aac-metrics; by default this one.
        java: the program; version 8 to 13.
        cache: where `aac-metrics-download` put its files; by default where it puts them by itself.
        device: for the neural ones, a torch device of that environment.

    Raises:
        ClapgenError: as `captions.bleu`; on an unknown metric; on what is missing: the package, Java of the right
            version (naming the one found), downloaded files; on whatever else aac-metrics refuses, in its words.
    """
    if isinstance(metrics, str) or not metrics:
        raise ClapgenError(f"The metrics are {metrics!r}; give a list of one or more of {', '.join(METRICS)}.")
    for name in metrics:
        if name not in METRICS:
            raise ClapgenError(
                f"aac-metrics has no {name!r} here; it has {', '.join(METRICS)}.{nearest(name, METRICS)}"
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
            "SPICE, METEOR and FENSE need the package aac-metrics, which is not installed and cannot stand beside "
            f"clapgen (numpy<2, torchaudio): put it into an environment of its own ({_INSTALL}), and name "
            "aac/bin/python as the Python of aac-metrics."
        )
    return sys.executable


def _check_java(java: str, metrics: list[str]) -> None:
    needed = f"{' and '.join(metrics)} {'needs' if len(metrics) == 1 else 'need'} Java {OLDEST_JAVA} to {NEWEST_JAVA}"
    try:
        run = subprocess.run([java, "-version"], capture_output=True, text=True, errors="replace", timeout=60)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise ClapgenError(f"{needed}, and {java!r} does not run; install it, or name its program.") from error
    said = run.stderr + run.stdout
    version = re.search(r'version "(?:1\.)?(\d+)[^"]*"', said)
    if run.returncode or not version:
        raise ClapgenError(f"{needed}, and {java!r} says {said.strip()[:80]!r}; install it, or name its program.")
    if not OLDEST_JAVA <= int(version[1]) <= NEWEST_JAVA:
        raise ClapgenError(
            f"{needed}, and {java!r} is {version[0].removeprefix('version ')}; install an older one beside it and name "
            "its program, or leave these metrics out."
        )


def _ask(python: str, request: dict[str, object]) -> CaptionScores:
    worker = Path(__file__).with_name("aac_metrics_worker.py").read_text(encoding="utf-8")
    try:
        # -I: neither this folder nor PYTHONPATH may lend that environment its modules.
        run = subprocess.run([python, "-I", "-c", worker], input=json.dumps(request).encode(), capture_output=True)
    except (OSError, ValueError) as error:
        raise ClapgenError(f"{python!r} cannot be run as the Python of aac-metrics ({error}); name another.") from error
    try:
        answer = json.loads(run.stdout)
    except ValueError as error:
        said = run.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {run.returncode}"]
        raise ClapgenError(f"{python!r} gave no scores ({said[-1][:200]}); is it the Python of aac-metrics?") from error
    if "missing" in answer:
        raise ClapgenError(
            f"{python!r} cannot import aac_metrics ({_one_line(answer['missing'])}); make a whole environment for it "
            f"({_INSTALL})."
        )
    if "failed" in answer:
        raise ClapgenError(
            f"aac-metrics could not compute {', '.join(map(str, request['metrics']))} "  # type: ignore[call-overload]
            f"({_one_line(answer['failed'])}); if files are missing, run aac-metrics-download beside {python!r}."
        )
    return CaptionScores(answer["corpus"], answer["clips"])


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
