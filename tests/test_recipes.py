"""The four recipes in sequence from the command line, as in the README; the last model generates a sound."""

import json
from pathlib import Path

import pytest

from clapgen.cli import run

TINY = {
    "text": [
        "texts=[captions.jsonl]",
        "word_templates=[]",
        "text.vocab_size=300",
        "text.width=16",
        "text.layers=1",
        "text.heads=2",
    ],
    "clap": [
        "clap.dim=16",
        "clap.audio.window_seconds=1.0",
        "clap.audio.widths=[8,8]",
        "clap.audio.depths=[1,1]",
        "augment.time_width=8",
    ],
    "autoencoder": [
        "model.latent_dim=8",
        "model.encoder_width=16",
        "model.encoder_slow_width=16",
        "model.decoder_width=16",
        "model.decoder_slow_width=16",
        "model.decoder_depth=1",
        "model.fine_mels=32",
        "model.n_mels=16",
        "crops.seconds=0.4",
        "adversary.start=1",
        "adversary.channels=4",
        "adversary.batch_size=2",
    ],
    "diffusion": ["diffusion.width=16", "diffusion.layers=1", "diffusion.heads=2", "crop_seconds=[0.5]"],
}
SHORT = ["training.steps=2", "training.batch_size=4", "training.warmup_steps=1", "training.log_every=1"]


@pytest.mark.slow
def test_the_recipes_find_each_others_models_and_end_in_a_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recordings: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ESC-50/meta").mkdir(parents=True)
    Path("ESC-50/audio").mkdir()
    rows = [f"{1 + n % 4}-{n}-A-{n}.wav,{1 + n % 4},{n},{p.stem},True,{n},A" for n, p in enumerate(recordings)]
    Path("ESC-50/meta/esc50.csv").write_text("\n".join(["filename,fold,target,category,esc10,src_file,take", *rows]))
    for recording, row in zip(recordings, rows, strict=True):
        Path("ESC-50/audio", row.split(",")[0]).with_suffix(".opus").symlink_to(recording)
    assert run(["pretrain", "manifest", "esc50", "ESC-50", "-o", "manifest.jsonl"]) == 0
    Path("captions.jsonl").write_text("\n".join(json.dumps({"caption": f"A {p.stem} sounds"}) for p in recordings))
    for task, sizes in TINY.items():
        assert run(["train", task, "manifest=manifest.jsonl", *SHORT, *sizes]) == 0, capsys.readouterr().err
        assert (tmp_path / "runs" / task / "model" / "checksums.json").is_file()
    generate = ["generate", "a rooster", "--model", "runs/diffusion/model", "-o", "rooster.wav", "--seconds", "1"]
    assert run([*generate, "--steps", "2"]) == 0, capsys.readouterr().err
    assert json.loads(Path("rooster.json").read_text())["prompt"] == "a rooster"
