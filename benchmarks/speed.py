"""Time and memory of generating a clip, compared with AudioLDM-S in diffusers, in one run.

    python benchmarks/speed.py

Each measurement runs in a fresh process, so that none affects another: the command `clapgen generate` from cold start
to file, the stages of `TextToAudio` (load, sample, decode), and AudioLDM-S at its published size with random weights
(10 guided steps are measured; its authors' 200 are computed from the time of a step). Of both, the first clip warms up
and the second is timed, and both are measured in float32 and in bfloat16; AudioLDM-S is compared with ours of the same
precision.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROMPT = "rain on a tin roof"
AUTHORS_STEPS = 200


def measure_process(command: list[str]) -> tuple[str, float, float]:
    """Run a command; returns its stdout, wall time in seconds and peak resident memory in GB.

    This process must stay small and must not import torch: Linux counts the parent's memory into a child's peak.
    """
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode != 0:
        raise SystemExit(f"failed: {' '.join(command)}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB here
    return output, wall, usage.ru_maxrss * unit / 1e9


DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


def stages_of_clapgen(options: argparse.Namespace, precision: str) -> dict[str, float]:
    """Time to load, sample and decode one clip in this process; the first clip warms up, the second is measured."""
    began = time.perf_counter()
    from generation.pipeline import TextToAudio

    imported = time.perf_counter()
    pipeline = TextToAudio.from_pretrained(options.model, dtype=DTYPES[precision])
    loaded = time.perf_counter()
    steps_end = 0.0

    def after_step(_: dict[str, Any]) -> None:
        nonlocal steps_end
        steps_end = time.perf_counter()

    for _ in range(2):
        started = time.perf_counter()
        pipeline.generate([PROMPT], seconds=options.seconds, num_steps=options.steps, callback=after_step)
        ended = time.perf_counter()
    return {
        "import": imported - began,
        "load": loaded - imported,
        "sample": steps_end - started,
        "decode": ended - steps_end,  # includes the CLAP score
        "clip": ended - started,
    }


def stages_of_audioldm(options: argparse.Namespace, precision: str) -> dict[str, float]:
    """Time of one clip in this process; the first clip warms up, the second is measured."""
    import torch
    from peers import PeerAudioLdm

    pipeline = PeerAudioLdm(torch.bfloat16 if precision == "bf16" else torch.float32)
    for _ in range(2):
        _, spent = pipeline.generate(options.seconds, options.peer_steps)
    return {
        "sample": spent.text + options.peer_steps * spent.step,
        "decode": spent.decode,
        "clip": spent.clip(options.peer_steps),
        f"clip of {AUTHORS_STEPS} steps": spent.clip(AUTHORS_STEPS),
    }


def measure(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        clip = str(Path(folder, "clip.wav"))
        arguments = ["--seconds", f"{options.seconds:g}", "--num-steps", str(options.steps), "--model", options.model]
        command = [sys.executable, "-m", "clapgen.cli", "generate", PROMPT, "-o", clip, *arguments]
        _, wall, peak = measure_process(command)
    metrics = {"command": {"wall": wall, "peak GB": peak}}
    again = [sys.executable, __file__, "--seconds", str(options.seconds), "--steps", str(options.steps)]
    again += ["--model", options.model, "--peer-steps", str(options.peer_steps), "--only"]
    for name in (f"{system}-{precision}" for precision in options.precisions for system in ("clapgen", "audioldm")):
        output, wall, peak = measure_process([*again, name])
        metrics[name] = {**json.loads(output.splitlines()[-1]), "process": wall, "peak GB": peak}
    return metrics


def report(metrics: dict[str, dict[str, float]], options: argparse.Namespace) -> None:
    command = metrics["command"]
    print(f"{options.seconds:g} s of sound, {os.cpu_count()} CPU cores\n")
    print(f"`clapgen generate`, cold start to file: {command['wall']:.1f} s, peak {command['peak GB']:.2f} GB")
    for precision in options.precisions:
        ours = metrics[f"clapgen-{precision}"]
        print(f"{precision}: import {ours['import']:.1f} s, load {ours['load']:.1f} s, then a clip ", end="")
        print(f"{ours['clip']:.2f} s ({options.seconds / ours['clip']:.1f}× faster than real time)")
    print("\n| | steps | sample s | decode s | clip s | real-time factor | peak GB | vs clapgen in this precision |")
    print("|---|---|---|---|---|---|---|---|")
    long = f"clip of {AUTHORS_STEPS} steps"
    for precision in options.precisions:
        ours, theirs = metrics[f"clapgen-{precision}"], metrics[f"audioldm-{precision}"]
        _row(f"clapgen-{precision}", options.steps, ours, ours["clip"], ours["clip"], options.seconds)
        _row(f"audioldm-{precision}", options.peer_steps, theirs, theirs["clip"], ours["clip"], options.seconds)
        computed = {**theirs, "sample": theirs[long] - theirs["decode"]}
        name = f"audioldm-{precision}, computed from a step's time"
        _row(name, AUTHORS_STEPS, computed, theirs[long], ours["clip"], options.seconds)


def _row(name: str, steps: int, metrics: dict[str, float], clip: float, ours: float, seconds: float) -> None:
    cells = [f"{metrics['sample']:.2f}", f"{metrics['decode']:.2f}", f"{clip:.2f}", f"{clip / seconds:.3f}"]
    print(f"| {name} | {steps} | {' | '.join(cells)} | {metrics['peak GB']:.2f} | {clip / ours:.1f}× |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--peer-steps", type=int, default=10)
    parser.add_argument("--precisions", nargs="*", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--only", help=argparse.SUPPRESS)  # one measurement, in this process
    options = parser.parse_args()
    if options.only:
        system, _, precision = options.only.partition("-")
        stages = stages_of_clapgen if system == "clapgen" else stages_of_audioldm
        print(json.dumps(stages(options, precision)))
    elif options.json:
        print(json.dumps(measure(options)))
    else:
        report(measure(options), options)


if __name__ == "__main__":
    main()
