"""Time and memory of generating a clip, compared with AudioLDM-S in diffusers, in one run.

    python benchmarks/speed.py
    python benchmarks/speed.py --public audioldm musicgen

Each measurement runs in a fresh process, so that none affects another: the command `clapgen generate` from cold start
to file, the stages of `TextToAudio` (load, sample, decode), and AudioLDM-S at its published size with random weights
(10 guided steps are measured; its authors' 200 are computed from the time of a step). Of both, the first clip warms up
and the second is timed, and both are measured in float32 and in bfloat16; AudioLDM-S is compared with ours of the same
precision.

With --public, each public generator named is saved at its published size with random weights, loaded through
`load_generator` in a process of its own, and compared with ours per second of sound. The seconds of its authors' steps
are computed from the time of those measured; a generator of tokens makes --seconds of sound.
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


def stages_of_public(options: argparse.Namespace, folder: str) -> dict[str, float]:
    """Time to load a public generator, and of a clip with its authors' steps, computed from `--public-steps`."""
    began = time.perf_counter()
    from generation.public import load_generator

    generator: Any = load_generator(folder)
    loaded = time.perf_counter()
    ends: list[float] = []
    authors: int | None = generator.kind.num_steps
    given = {"num_steps": options.public_steps} if authors else {}
    started = time.perf_counter()
    generator.generate([PROMPT], options.seconds, callback=lambda _: ends.append(time.perf_counter()), **given)
    ended = time.perf_counter()
    step = (ends[-1] - ends[0]) / max(1, len(ends) - 1)  # the first warms up
    rest = ended - started - step * len(ends)
    parameters = sum(weights.numel() for network in generator.networks for weights in network.parameters())
    steps = authors or len(ends)
    return {"load": loaded - began, "step": step, "steps": steps, "clip": rest + step * steps, "parameters": parameters}


def measure_public(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    again = [sys.executable, __file__, "--seconds", str(options.seconds), "--steps", str(options.steps)]
    again += ["--model", options.model, "--public-steps", str(options.public_steps)]
    output, _, peak = measure_process([*again, "--only", "clapgen-fp32"])
    metrics = {"clapgen": {**json.loads(output.splitlines()[-1]), "peak GB": peak}}
    for name in options.public:
        with tempfile.TemporaryDirectory() as folder:
            measure_process([*again, "--only", f"save:{name}:{folder}"])
            output, _, peak = measure_process([*again, "--only", f"public:{folder}"])
            metrics[name] = {**json.loads(output.splitlines()[-1]), "peak GB": peak}
    return metrics


def report_public(metrics: dict[str, dict[str, float]], options: argparse.Namespace) -> None:
    ours = metrics.pop("clapgen")
    print(f"{options.seconds:g} s of sound in float32, {os.cpu_count()} CPU cores; steps of the authors are computed\n")
    print("| | parameters, M | load s | s per step | steps | clip s | peak GB | vs clapgen |")
    print("|---|---|---|---|---|---|---|---|")
    print(f"| clapgen | | {ours['load']:.1f} | | {options.steps} | {ours['clip']:.2f} | {ours['peak GB']:.2f} | 1× |")
    for name, found in metrics.items():
        cells = [f"{found['parameters'] / 1e6:.0f}", f"{found['load']:.1f}", f"{found['step']:.3f}"]
        cells += [f"{found['steps']:.0f}", f"{found['clip']:.1f}", f"{found['peak GB']:.2f}"]
        print(f"| {name} | {' | '.join(cells)} | {found['clip'] / ours['clip']:.0f}× |")


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
    parser.add_argument("--public", nargs="*", help="public generators to compare with; see published_sizes.py")
    parser.add_argument("--public-steps", type=int, default=4, help="steps of a public generator that are measured")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--only", help=argparse.SUPPRESS)  # one measurement, in this process
    options = parser.parse_args()
    if options.only and options.only.startswith(("save:", "public:")):
        kind, _, rest = options.only.partition(":")
        if kind == "public":
            print(json.dumps(stages_of_public(options, rest)))
        else:
            from published_sizes import PUBLISHED

            name, _, folder = rest.partition(":")
            PUBLISHED[name](Path(folder))
    elif options.only:
        system, _, precision = options.only.partition("-")
        stages = stages_of_clapgen if system == "clapgen" else stages_of_audioldm
        print(json.dumps(stages(options, precision)))
    elif options.public is not None:
        found = measure_public(options)
        print(json.dumps(found)) if options.json else report_public(found, options)
    elif options.json:
        print(json.dumps(measure(options)))
    else:
        report(measure(options), options)


if __name__ == "__main__":
    main()
