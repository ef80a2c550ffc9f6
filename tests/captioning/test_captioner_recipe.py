"""The captioner's recipe: learns from text alone, opens audio only if asked to, and resumes exactly."""

import json
from pathlib import Path

import pytest
import torch
from captioner_runs import Overrides, changed, losses, recipe_of, weights
from tiny_captioner import SENTENCES, build_tiny_captioner
from tiny_laion import laion

from captioning.captioner import Captioner
from captioning.training.config import CaptionerRecipe
from captioning.training.recipe import CaptionerTask, run
from clapgen.audio import read_audio
from clapgen.cli import run as run_command
from clapgen.configuration import recipe_path
from clapgen.errors import ClapgenError
from clapgen.training.loop import train


@pytest.mark.slow
def test_it_learns_sentences_from_text_alone_and_opens_no_sound(
    overrides: Overrides, tmp_path: Path, opened: list[str]
) -> None:
    rows = [{"path": f"nowhere/{index}.wav", "captions": [text]} for index, text in enumerate(SENTENCES)]
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sizes = ["bridges.names=[]", "decoder.width=32", "decoder.mapper_width=32", "decoder.dropout=0.0"]
    metrics = run(None, overrides(120, *sizes, "training.batch_size=16", text="manifest.jsonl"))
    assert opened == []
    course = losses(tmp_path / "run")
    assert course[120] < 0.3 * course[1] and metrics["loss"] < 0.3 * course[1]

    captioner = Captioner.from_pretrained(tmp_path / "run" / "model")
    known = captioner.clap.embed_text(SENTENCES)
    texts = [caption.text for caption in captioner.caption_embeddings(known)]
    words = set(" ".join(SENTENCES).lower().split())
    assert all(set(text.lower().split()) <= words for text in texts) and len(set(texts)) >= 5, texts


def test_the_supervised_bound_learns_from_sounds(
    overrides: Overrides, tmp_path: Path, pairs: Path, opened: list[str]
) -> None:
    task = CaptionerTask(recipe_of(overrides(1, "paired=true", f"pairs={pairs}", text=None)))
    assert len(set(opened)) == len(task.rows) == 6
    clips = [json.loads(line)["path"] for line in pairs.read_text().splitlines()]
    sounds = [read_audio(clip, task.clap.sample_rate)[0] for clip in clips]
    expected = task.clap.embed_audio(sounds, task.clap.sample_rate)
    assert float((task.rows.embeddings * expected).sum(-1).min()) > 0.9999
    assert task.rows.captions[0] == f"The sound of a {Path(clips[0]).stem}"
    run(None, overrides(2, "paired=true", f"pairs={pairs}", text=None))
    assert (tmp_path / "run" / "model" / "captioner" / "model.safetensors").exists()


def test_every_bridge_that_can_reads_the_pairs_that_are_given(
    overrides: Overrides, pairs: Path, opened: list[str]
) -> None:
    """The diffusion bridge centres audio on its own mean if pairs are given."""
    more = ["bridges.names=[diffusion]", "bridges.diffusion.width=8"]
    for given in ([], [f"pairs={pairs}"]):
        bridge = CaptionerTask(recipe_of(overrides(1, *more, *given))).bridges["diffusion"]
        assert bool(opened) == bool(given)
        assert torch.equal(bridge.audio_mean, bridge.text_mean) == (not given)


def test_a_run_that_was_stopped_goes_on_exactly(overrides: Overrides, tmp_path: Path) -> None:
    class Interrupted(CaptionerTask):
        def loss(self, batch, group, step):
            if step == 4 and group == "decoder":
                raise KeyboardInterrupt
            return super().loss(batch, group, step)

    def recipe(name: str) -> CaptionerRecipe:
        changes = ["bridges.names=[noise,adapter]", "bridges.adapter.width=8", "training.save_every=2"]
        return recipe_of(overrides(7, *changes, f"training.output={tmp_path / name}"))

    whole = recipe("whole")
    train(CaptionerTask(whole), whole.training)
    stopped = recipe("stopped")
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(stopped), stopped.training)
    again = recipe("stopped")
    train(CaptionerTask(again), again.training)
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")
    left, right = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)
    assert any(key.startswith("bridges.adapter") for key in left)


def test_batches_follow_their_generator_and_shares(overrides: Overrides, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("Glass breaks\nA piano plays\n")
    both = f"{tmp_path / 'captions.txt'},{tmp_path / 'other.txt'}"

    def task(*more: str) -> CaptionerTask:
        return CaptionerTask(recipe_of([f"text={both}", *overrides(1, *more)[1:]]))

    plain = task()
    assert len(plain.rows) == len(SENTENCES) + 2
    one, two, other = (plain.batch(0, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not torch.equal(one["rows"], other["rows"])
    uneven = task("shares=[1,3]")
    drawn = torch.cat([uneven.batch(0, torch.Generator().manual_seed(seed))["rows"] for seed in range(100)])
    assert (drawn >= len(SENTENCES)).float().mean() == pytest.approx(0.75, abs=0.05)
    with pytest.raises(ClapgenError, match=r"shares=\[1.0\] has 1 values for 2"):
        task("shares=[1]")
    with pytest.raises(ClapgenError, match="none may be negative"):
        task("shares=[1,-1]")


def test_held_out_rows_are_never_drawn(overrides: Overrides, tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("\n".join(f"Sentence number {index}" for index in range(120)))
    task = CaptionerTask(recipe_of(overrides(1, "validation_share=0.25")))
    held_out = set(task.held_out.tolist())
    assert len(held_out) == 30
    batches = [task.batch(index, torch.Generator().manual_seed(index))["rows"] for index in range(60)]
    drawn = set(torch.cat(batches).tolist())
    assert len(drawn) > 80 and drawn.isdisjoint(held_out)


def test_several_text_files_are_given_as_a_list_or_one_by_one(overrides: Overrides, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("Glass breaks\nA piano plays\n")
    first, second = tmp_path / "captions.txt", tmp_path / "other.txt"
    for index, given in enumerate(
        [[f"text={first},{second}"], [f"text=[{first},{second}]"], [f"text={first}", f"text={second}"]]
    ):
        output = tmp_path / str(index)
        run(None, [*given, *overrides(1, f"training.output={output}")[1:]])
        assert f"- {second}" in (output / "config.yaml").read_text()
    assert torch.equal(*(weights(tmp_path / str(index))["decoder.mapper.layers.0.weight"] for index in (0, 2)))


def test_files_of_any_name_are_read(overrides: Overrides, tmp_path: Path) -> None:
    (tmp_path / "a b: 🌧 #1.txt").write_text("Glass breaks\nA piano plays\n")
    task = CaptionerTask(recipe_of(overrides(1, text="a b: 🌧 #1.txt")))
    assert task.rows.captions == ["Glass breaks", "A piano plays"]


@pytest.mark.parametrize("method", ["hard-prompt", "adapter"])
def test_held_out_sentences_are_measured_as_training_sees_them(
    overrides: Overrides, tmp_path: Path, method: str
) -> None:
    """With retrieved words, and behind the denoising adapter: as in training."""
    (tmp_path / "labels.txt").write_text("dog\nrain\nbells\n")
    more = [f"bridges.names=[{method}]", f"labels={tmp_path / 'labels.txt'}", "bridges.hard_prompt.dropout=0.0"]
    task = CaptionerTask(recipe_of(overrides(1, *more, "bridges.adapter.variance=0.0")))
    task.decoder.eval()
    [row] = task.held_out.tolist()
    seen, retrieved = task.chain.train_text(task.rows.embeddings[[row]], torch.tensor([row]), torch.Generator())
    with torch.no_grad():
        asked, plain = (
            float(task.decoder(embedding, [task.rows.captions[row]], words))
            for embedding, words in ((seen, retrieved), (task.rows.embeddings[[row]], None))
        )
        assert task.evaluate()["loss"] == pytest.approx(asked, abs=1e-6) != pytest.approx(plain, abs=1e-5)


def test_a_style_is_learned_from_where_another_captioner_stopped(overrides: Overrides, tmp_path: Path) -> None:
    run(None, overrides(40, "decoder.dropout=0.0"))
    (tmp_path / "style.txt").write_text("\n".join(f"Hark! {text}" for text in SENTENCES))
    course = {}
    for name, more in {"on": [f"start_from={tmp_path / 'run' / 'model'}"], "new": []}.items():
        run(None, overrides(3, *more, f"training.output={tmp_path / name}", text="style.txt"))
        course[name] = losses(tmp_path / name)[1]
    assert course["on"] < course["new"] - 0.5
    vocabularies = [(tmp_path / name / "model" / "captioner" / "tokenizer.json").read_text() for name in ("run", "on")]
    assert vocabularies[0] == vocabularies[1]


def test_start_from_may_train_the_mapping_network_alone(overrides: Overrides, tmp_path: Path) -> None:
    run(None, overrides(2))
    run(
        None,
        overrides(2, f"start_from={tmp_path / 'run' / 'model'}", "freeze=true", f"training.output={tmp_path / 'on'}"),
    )
    assert changed(tmp_path / "run", tmp_path / "on") == {"mapper"}


def test_the_captioner_of_another_clap_is_no_start(overrides: Overrides, tmp_path: Path, model: Path) -> None:
    other = build_tiny_captioner(tmp_path / "other", seed=1, clap_name="the-other")
    with pytest.raises(ClapgenError, match="the-other") as refused:
        run(None, overrides(1, f"start_from={other}"))
    assert str(model) in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in recipe_path("captioner").parent.glob("*.yaml")))
def test_every_recipe_that_is_shipped_trains(
    overrides: Overrides, tmp_path: Path, pairs: Path, opened: list[str], name: str
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("dog\nrain\nbells\n")
    recipe = recipe_path("captioner", name)
    needs = recipe.read_text()
    more = [f"labels={labels}"] * ("labels: ???" in needs) + [f"pairs={pairs}"] * ("pairs: ???" in needs)
    sizes = ["bridges.diffusion.width=8", "bridges.adapter.width=8"]
    run(recipe, overrides(2, *more, *sizes, text="captions.txt" if "text: ???" in needs else None))
    assert bool(opened) == ("pairs: ???" in needs)
    captioner = Captioner.from_pretrained(tmp_path / "run" / "model")
    [caption] = captioner.caption_embeddings(captioner.clap.embed_text(["rain"]))
    assert caption.text and captioner.config.clap_hash == captioner.clap.hash


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["decoding.method=beem"], "Did you mean 'beam'"),
        (["paired=true"], "set pairs=MANIFEST"),
        (
            ["paired=true", "pairs=m", "bridges.names=[noise,mean-shift]"],
            "'mean-shift' maps audio embeddings to text",
        ),
        (["paired=true", "pairs=m", "bridges.extra=[nearest]"], "'nearest' maps audio embeddings to text"),
        (["start_from=default", "pretrained=gpt2"], "set only one of them"),
        (["freeze=true"], "set pretrained or start_from"),
        (["validation_share=2"], "validation_share must be at least 0 and below 1, not 2"),
        (["decoder.heads=3"], "must be a multiple of decoder.heads=3"),
        (["bridges.names=[nose]"], r"unknown bridge 'nose'.*Did you mean 'noise'"),
        (["bridge=[memory]"], "bridge=memory must also be in bridges.names or bridges.extra"),
        (["memory=[other.txt]"], "memory=other.txt must be one of the files"),
        (["bridges.names=[mean-shift]"], "set pairs=MANIFEST"),
        (["bridges.names=[hard-prompt]"], "set labels=FILE"),
        (["decoder.max_tokens=1"], "every caption has more than decoder.max_tokens=1"),
        (["clap=nowhere"], "No model called 'nowhere'"),
        (["sahres=[1]"], "unknown key 'sahres'.*'shares'"),
        (["bridges.offered=[memory]"], "unknown key 'bridges.offered'.* now 'bridges.extra'"),
        (["bridges.hard_prompt.mask=0.5"], "'bridges.hard_prompt.mask'.*hard_prompt.dropout'"),
        (["bridges.hard_prompt.below=0.5"], "'bridges.hard_prompt.below'.*hard_prompt.max_similarity'"),
        (["bridges.diffusion.signal=0.5"], "'bridges.diffusion.signal'.*diffusion.signal_to_noise'"),
        (["bridges.diffusion.topology=0.5"], "'bridges.diffusion.topology'.*diffusion.topology_weight'"),
        (["decoder.hint_tokens=5"], "'decoder.hint_tokens'.*decoder.retrieved_tokens'"),
        (["bridges.names=[nnd]"], "'nnd' is now called 'nearest'"),
    ],
)
def test_wrong_recipes_are_named(overrides: Overrides, more: list[str], words: str) -> None:
    with pytest.raises(ClapgenError, match=words):
        run(None, overrides(1, *more))


def test_a_corpus_of_one_sentence_or_none_is_refused(overrides: Overrides, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("rain falls\n" * 50)
    with pytest.raises(ClapgenError, match="one sentence to train on, 'Rain falls'"):
        run(None, overrides(1, text="one.txt"))
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(ClapgenError, match=r"empty.txt has no usable sentence \(it is empty\)"):
        run(None, overrides(1, text="empty.txt"))
    with pytest.raises(ClapgenError, match="nothing to train on: set text=FILE"):
        run(None, overrides(1, text=None))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_captioner_learns_on_a_public_clap_and_finds_it_again(
    overrides: Overrides, tmp_path: Path, recordings: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    public = f"laion:{laion(tmp_path / 'laion')}"
    run(None, overrides(2, f"clap={public}"))
    assert not (tmp_path / "run" / "model" / "clap").exists()
    captioner = Captioner.from_pretrained(tmp_path / "run" / "model")
    assert captioner.clap.name == public and captioner.config.decoder.dim == captioner.clap.dim == 24
    [caption] = captioner.caption([read_audio(recordings[0], 48_000)[0]], 48_000)
    assert caption.text and -1 <= caption.score <= 1
    capsys.readouterr()
    assert run_command(["caption", str(recordings[0]), "--model", str(tmp_path / "run" / "model")]) == 0
    assert capsys.readouterr().out == f"{caption.text}\n"
    with pytest.raises(ClapgenError, match=r"was trained on the CLAP laion:.* but .* holds the CLAP"):
        Captioner.from_pretrained(tmp_path / "run" / "model", clap="default")


MANY = [f"{subject} {number}" for number in range(40) for subject in ("A dog barks", "Rain falls", "Bells ring")]


def test_held_out_sentences_are_never_drawn(overrides: Overrides, tmp_path: Path) -> None:
    (tmp_path / "many.txt").write_text("\n".join(MANY))
    task = CaptionerTask(recipe_of(overrides(1, "validation_share=0.25", text="many.txt")))
    held_out = set(task.held_out.tolist())
    drawn = {row for i in range(60) for row in task.batch(i, torch.Generator().manual_seed(i))["rows"].tolist()}
    assert len(held_out) == 30 and not held_out & drawn and len(drawn) > 60


def test_the_held_out_sentences_stay_the_same_when_others_are_added(overrides: Overrides, tmp_path: Path) -> None:
    def held_out(sentences: list[str]) -> set[str]:
        (tmp_path / "many.txt").write_text("\n".join(sentences))
        task = CaptionerTask(recipe_of(overrides(1, "validation_share=0.25", text="many.txt")))
        return {task.rows.captions[row] for row in task.held_out.tolist()}

    before, after = held_out(MANY), held_out([*MANY[:60], "A new one", *MANY[60:]])
    assert len(before & after) >= len(before) - 1


def test_a_captioner_is_not_resumed_on_edited_text_and_never_with_another_vocabulary(
    overrides: Overrides, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory = ["bridges.names=[noise]", "bridges.extra=[memory]"]
    run(None, overrides(2, *memory))
    vocabulary, stored = tmp_path / "run/model/captioner/tokenizer.json", "bridges.memory.memory"
    tokens, sentences = vocabulary.read_text(), weights(tmp_path / "run")[stored]
    edited = [f"text={tmp_path / 'captions.txt'}", *overrides(3, *memory)[1:]]  # the fixture writes its own sentences
    (tmp_path / "captions.txt").write_text("\n".join([*SENTENCES, "Zithers hum while xylophones clatter"] * 3))
    with pytest.raises(ClapgenError, match=r"text 1 \(captions.txt\): \d+ sentences .*-> \d+ sentences"):
        run(None, edited)
    run(None, [*edited, "training.allow_changes=true"])
    assert "resuming with changed data: text 1 (captions.txt)" in capsys.readouterr().err
    assert vocabulary.read_text() == tokens and torch.equal(weights(tmp_path / "run")[stored], sentences)
