"""A model folder loads as it was saved; errors name the damaged file."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from clapgen import model_store
from clapgen.errors import ClapgenError
from clapgen.model_store import (
    load_module,
    load_part,
    open_model,
    resolve_model,
    save_part,
    verify_model,
    weights_hash,
)


@dataclasses.dataclass
class TinyConfig:
    width: int = 4
    name: str = "tiny"


class Tiny(nn.Module):
    def __init__(self, config: TinyConfig) -> None:
        super().__init__()
        self.config = config
        self.linear = nn.Linear(config.width, config.width)
        self.register_buffer("steps", torch.tensor([3, 4]))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_part(tmp_path / "model", "clap", TinyConfig(), Tiny(TinyConfig()))
    return tmp_path / "model"


def weights_of(model: Path) -> Path:
    return model / "clap" / "model.safetensors"


def test_round_trip_is_float32_and_exact_to_half_precision(model: Path) -> None:
    original = Tiny(TinyConfig(width=6, name="six"))
    save_part(model, "clap", original.config, original)
    config, state = load_part(model, "clap", TinyConfig)
    assert config == TinyConfig(width=6, name="six")
    assert state["linear.weight"].dtype == torch.float32
    assert torch.equal(state["linear.weight"], original.linear.weight.detach().half().float())
    assert torch.equal(state["steps"], torch.tensor([3, 4]))


def test_other_files_of_a_part_are_protected_too(model: Path) -> None:
    (model / "clap" / "tokenizer.json").write_text("words")
    save_part(model, "clap", TinyConfig(), Tiny(TinyConfig()))
    load_part(model, "clap", TinyConfig)
    (model / "clap" / "tokenizer.json").write_text("other words")
    with pytest.raises(ClapgenError, match=r"clap/tokenizer\.json is damaged"):
        load_part(model, "clap", TinyConfig)
    assert [check.file.name for check in verify_model(model) if check.problem] == ["tokenizer.json"]


def test_full_precision_on_request_and_for_values_beyond_float16(model: Path) -> None:
    third = torch.tensor([1 / 3])
    save_part(model, "other", TinyConfig(), {"third": third}, half=False)
    save_part(model, "large", TinyConfig(), {"large": torch.tensor([1e9]), "third": third})
    assert torch.equal(load_part(model, "other", TinyConfig)[1]["third"], third)
    large = load_part(model, "large", TinyConfig)[1]
    assert large["large"].item() == 1e9
    assert large["third"] == third.half().float()


def test_tied_weights_can_be_saved(model: Path) -> None:
    shared = torch.ones(3)
    save_part(model, "tied", TinyConfig(), {"a": shared, "b": shared})
    assert load_part(model, "tied", TinyConfig)[1].keys() == {"a", "b"}


def test_load_module_builds_and_fills(model: Path) -> None:
    network = load_module(model, "clap", TinyConfig, Tiny)
    assert isinstance(network, Tiny)
    assert not network.training
    assert torch.equal(network.linear.bias, load_part(model, "clap", TinyConfig)[1]["linear.bias"])


def test_loading_draws_no_random_numbers(model: Path) -> None:
    torch.manual_seed(0)
    load_module(model, "clap", TinyConfig, Tiny)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))


def test_an_open_model_reads_its_checksums_once(model: Path) -> None:
    folder = open_model(model)
    (model / "checksums.json").unlink()
    assert folder.name == str(model) and open_model(folder) is folder
    load_module(folder, "clap", TinyConfig, Tiny)
    assert weights_hash(folder, "clap") == folder.checksums["clap/model.safetensors"][:12]


@pytest.mark.parametrize("name", ["config.yaml", "model.safetensors"])
def test_missing_file_is_named(model: Path, name: str) -> None:
    (model / "clap" / name).unlink()
    with pytest.raises(ClapgenError, match=rf"clap/{name} is missing"):
        load_part(model, "clap", TinyConfig)
    assert name in [check.file.name for check in verify_model(model) if "missing" in check.problem]


@pytest.mark.parametrize("kept", [0, 5, 30, -1])
def test_truncated_weights_are_named(model: Path, kept: int) -> None:
    content = weights_of(model).read_bytes()
    weights_of(model).write_bytes(content[:kept])
    with pytest.raises(ClapgenError, match=r"clap/model\.safetensors is (truncated|not a safetensors file)"):
        load_part(model, "clap", TinyConfig)


def test_every_flipped_byte_is_found_and_named(model: Path) -> None:
    content = weights_of(model).read_bytes()
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 0x40
        weights_of(model).write_bytes(bytes(damaged))
        with pytest.raises(ClapgenError, match=r"clap/model\.safetensors"):
            load_part(model, "clap", TinyConfig)


def test_flipped_weight_is_a_hash_mismatch(model: Path) -> None:
    content = bytearray(weights_of(model).read_bytes())
    content[-1] ^= 1
    weights_of(model).write_bytes(bytes(content))
    with pytest.raises(ClapgenError, match=r"clap/model\.safetensors .*sha256"):
        load_part(model, "clap", TinyConfig)
    assert [check.file.name for check in verify_model(model) if check.problem] == ["model.safetensors"]


def test_edited_config_needs_to_be_recorded(model: Path) -> None:
    config = model / "clap" / "config.yaml"
    config.write_text(config.read_text().replace("tiny", "renamed"))
    with pytest.raises(ClapgenError, match=r"config\.yaml .*--record"):
        load_part(model, "clap", TinyConfig)
    model_store.record_checksums(model)
    assert load_part(model, "clap", TinyConfig)[0].name == "renamed"
    assert not any(check.problem for check in verify_model(model))


def test_files_without_recorded_checksum_are_refused(model: Path) -> None:
    (model / "checksums.json").unlink()
    with pytest.raises(ClapgenError, match="not listed"):
        load_part(model, "clap", TinyConfig)
    (model / "checksums.json").write_text("[]")
    with pytest.raises(ClapgenError, match=r"checksums\.json"):
        load_part(model, "clap", TinyConfig)


@pytest.mark.parametrize(
    ("state", "complaint"),
    [
        ({"linear.bias": torch.zeros(4), "steps": torch.zeros(2)}, "lacks 'linear.weight'"),
        (
            {"linear.bias": torch.zeros(4), "linear.weight": torch.zeros(4, 5), "steps": torch.zeros(2)},
            r"'linear.weight' of shape \(4, 5\) where the config requires \(4, 4\)",
        ),
        ({**Tiny(TinyConfig()).state_dict(), "extra": torch.zeros(1)}, "unknown weight 'extra'"),
    ],
)
def test_weights_that_do_not_match_the_config_are_named(
    model: Path, state: dict[str, torch.Tensor], complaint: str
) -> None:
    save_part(model, "clap", TinyConfig(), state)
    with pytest.raises(ClapgenError, match=rf"clap/model\.safetensors .*{complaint}"):
        load_module(model, "clap", TinyConfig, Tiny)


def test_an_unknown_model_gets_a_suggestion(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_store, "BUNDLED_MODELS", tmp_path)
    assert model_store.list_models() == ["model"]
    assert resolve_model("model") == model
    with pytest.raises(ClapgenError, match=r"'modle'.*'model'"):
        resolve_model("modle")
    with pytest.raises(ClapgenError, match="is a file"):
        resolve_model(weights_of(model))
    with pytest.raises(ClapgenError, match="No model called ''"):
        resolve_model("")
    monkeypatch.setattr(model_store, "BUNDLED_MODELS", tmp_path / "nowhere")
    with pytest.raises(ClapgenError, match=r"modell.*Did you mean .*model"):
        resolve_model(tmp_path / "modell")
    assert resolve_model(str(model)) == model


def test_hash_is_recorded_and_changes_with_the_weights(model: Path) -> None:
    before = weights_hash(model, "clap")
    assert len(before) == 12
    save_part(model, "clap", TinyConfig(), {"w": torch.ones(1)})
    assert weights_hash(model, "clap") != before
    with pytest.raises(ClapgenError, match="vocoder"):
        weights_hash(model, "vocoder")


SAVE_UNDER_A_SIZE_LIMIT = """
import resource, signal, sys, torch
from pathlib import Path
from clapgen.errors import ClapgenError
from clapgen.model_store import save_part
sys.path.insert(0, {tests!r})
from test_model_store import TinyConfig
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    save_part({model!r}, "clap", TinyConfig(), {{"w": torch.ones(100_000)}})
except ClapgenError as error:
    sys.exit(f"clapgen: {{error}}")
"""


@pytest.mark.slow
def test_failed_save_leaves_the_earlier_version(model: Path) -> None:
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    script = SAVE_UNDER_A_SIZE_LIMIT.format(tests=os.path.dirname(__file__), model=str(model))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "model.safetensors" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before
    load_part(model, "clap", TinyConfig)
