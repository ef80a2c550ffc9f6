"""The changes that `mutations.py` tries: where, what, and the tests that must notice."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """In `file`, the text `old`, which occurs once, becomes `new`; one of `tests` must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


DIFFUSION = "captioning/bridges/diffusion.py"
DIFFUSION_TESTS = ("tests/captioning/test_diffusion_bridge.py",)
BRIDGE_TESTS = ("tests/captioning/test_bridges.py",)
CACHE_TESTS = ("tests/embedders/test_embedding_cache.py",)
KEY_TESTS = ("tests/embedders/test_cache_keys.py",)
EVALUATION_TESTS = ("tests/evaluation/test_known_answers.py",)
CHANCE_TESTS = ("tests/cli/test_evaluate_commands.py::test_retrieval_is_the_metric",)

MUTATIONS = [
    # generation
    Mutation(
        "guidance without its away term",
        "generation/diffusion/guidance.py",
        "return away + self.scale * (towards - away)",
        "return self.scale * (towards - away)",
        ("tests/generation/test_guidance.py",),
    ),
    Mutation(
        "multistep solver with equal steps",
        "generation/diffusion/samplers.py",
        "ratio = step / (2 * (now - previous[0]))",
        "ratio = 0.5",
        ("tests/generation/test_samplers.py",),
    ),
    Mutation(
        "windows blended evenly",
        "generation/diffusion/guidance.py",
        "fade = 1 - torch.linspace(-1, 1, window + 2, device=x.device)[1:-1].abs()",
        "fade = torch.ones(window, device=x.device)",
        ("tests/generation/test_guidance.py",),
    ),
    # training
    Mutation(
        "loss not divided by accumulate",
        "clapgen/training/loop.py",
        "loss / config.accumulate",
        "loss",
        ("tests/training/test_running.py::test_accumulated_losses_are_averaged",),
    ),
    Mutation(
        "batches that begin again on resume",
        "clapgen/training/loop.py",
        "            for index in itertools.count(self.step * config.accumulate + 1):",
        "            for index in itertools.count(1):",
        ("tests/training/test_resume.py", "tests/training/test_training.py"),
    ),
    Mutation(
        "held-out rows trained on",
        "captioning/training/recipe.py",
        "weights[held_out] = 0",
        "weights[held_out] *= 1",
        ("tests/captioning/test_captioner_recipe.py::test_held_out_sentences_are_never_drawn",),
    ),
    # training of the CLAP
    Mutation(
        "negatives that do not exist count",
        "pretrain/objectives/modular.py",
        'wrong.masked_fill(~given, float("-inf"))',
        "wrong.masked_fill(~given, 0.0)",
        ("tests/pretrain/test_negative_objectives.py",),
    ),
    Mutation(
        "hardness divided by all negatives",
        "pretrain/objectives/hard_negatives.py",
        "share - others",
        "share",
        ("tests/pretrain/test_negative_objectives.py",),
    ),
    Mutation(
        "the frame loss trains the prior",
        "pretrain/objectives/frames.py",
        "log_odds = alpha * cosines(batch.frames, queries) + beta.detach()",
        "log_odds = alpha * cosines(batch.frames, queries) + beta",
        ("tests/pretrain/test_frame_objective.py",),
    ),
    Mutation(
        "a twin is a graded positive",
        "pretrain/objectives/graded.py",
        "similarity.new_zeros(())",
        "similarity.new_ones(())",
        ("tests/pretrain/test_graded_objectives.py",),
    ),
    Mutation(
        "names that may be true called absent",
        "pretrain/objectives/absence.py",
        "possible = frozenset().union(*map(self.names.possible, row.clips))",
        "possible = frozenset(present)",
        ("tests/pretrain/test_order_objectives.py",),
    ),
    Mutation(
        "captions of a scene given to each of its events",
        "pretrain/data/rows.py",
        "labels=[event.label], captions=[])",
        "labels=[event.label])",
        (
            "tests/pretrain/test_rows.py::test_clips_that_are_scenes_are_neither_cropped_nor_mixed_and_bring_their_negatives",
        ),
    ),
    Mutation(
        "targets of held-out recordings",
        "pretrain/teachers/table.py",
        "left_out = {*withheld, *missing}",
        "left_out = {*missing}",
        ("tests/pretrain/test_teachers.py::test_no_held_out_clip_is_ever_a_target",),
    ),
    Mutation(
        "aligned targets without their mean",
        "pretrain/objectives/distillation.py",
        "return self.aligned and teacher in self.chosen",
        "return False",
        ("tests/pretrain/test_rows.py::test_only_targets_that_embeddings_are_to_be_equal_to_keep_their_mean",),
    ),
    Mutation(
        "events at equal amplitude instead of equal loudness",
        "clapgen/scenes/rendering.py",
        "(LEVEL_DB + event.gain_db - level) / 20",
        "(LEVEL_DB + event.gain_db) / 20",
        ("tests/scenes/test_rendering.py",),
    ),
    Mutation(
        "equal scores count for the model",
        "clapgen/metrics/localisation/frames.py",
        "np.cumsum(counts) - (counts - 1) / 2",
        "np.cumsum(counts)",
        ("tests/metrics/test_localisation_metrics.py",),
    ),
    # metrics and evaluation
    Mutation(
        "KL(gen‖ref) under the name KL(ref‖gen)",
        "clapgen/evaluation/generation/posteriors.py",
        "posterior_divergence(reference[references], generated[rows])",
        "posterior_divergence(generated[rows], reference[references])",
        EVALUATION_TESTS,
    ),
    Mutation(
        "KL(gen‖ref) of mean posteriors",
        "clapgen/evaluation/generation/posteriors.py",
        "mean_posterior_divergence(reference, generated).mean",
        "mean_posterior_divergence(generated, reference).mean",
        EVALUATION_TESTS,
    ),
    Mutation(
        "posterior temperature 1",
        "clapgen/evaluation/generation/posteriors.py",
        "scale = context.logit_scale",
        "scale = 1.0",
        EVALUATION_TESTS,
    ),
    Mutation(
        "retrieval chance doubled",
        "clapgen/evaluation/retrieval.py",
        'note = f"{ask}; chance {way.chance[k]:.4f}"',
        'note = f"{ask}; chance {2 * way.chance[k]:.4f}"',
        CHANCE_TESTS,
    ),
    Mutation(
        "chance of one right answer",
        "clapgen/metrics/embeddings/retrieval.py",
        "np.maximum(gallery - counts - place, 0)",
        "np.maximum(gallery - 1 - place, 0)",
        ("tests/metrics/test_retrieval.py",),
    ),
    Mutation(
        "entailment thresholds fitted on the test part",
        "clapgen/evaluation/entailment.py",
        "fit_thresholds(development.cosines, development.labels)",
        "fit_thresholds(judged.cosines, judged.labels)",
        EVALUATION_TESTS,
    ),
    Mutation(
        "entailment edge belongs to neutral",
        "clapgen/metrics/embeddings/entailment.py",
        "+ (cosines >= self.high)",
        "+ (cosines > self.high)",
        ("tests/metrics/test_entailment.py",),
    ),
    Mutation(
        "entailment edge belongs to contradiction",
        "clapgen/metrics/embeddings/entailment.py",
        "(cosines >= self.low)",
        "(cosines > self.low)",
        ("tests/metrics/test_entailment.py",),
    ),
    Mutation(
        "shuffled floors not shuffled",
        "clapgen/metrics/embeddings/clap_score.py",
        "order = first[derangement(len(cosines), groups=names, seed=seed)]",
        "order = first",
        ("tests/metrics/test_clap_score.py",),
    ),
    Mutation(
        "floor of prompts without groups",
        "clapgen/evaluation/generation/alignment.py",
        "groups=prompts, seed=seed",
        "seed=seed",
        EVALUATION_TESTS,
    ),
    Mutation(
        "floor of real pairs without groups",
        "clapgen/evaluation/generation/alignment.py",
        "groups=text, seed=seed",
        "seed=seed",
        EVALUATION_TESTS,
    ),
    Mutation(
        "floor of captions without groups",
        "clapgen/evaluation/captions.py",
        "groups=captions, seed=seed",
        "seed=seed",
        EVALUATION_TESTS,
    ),
    Mutation(
        "copy threshold 0.9",
        "clapgen/metrics/embeddings/degenerate.py",
        "COPY_COSINE = 0.98",
        "COPY_COSINE = 0.9",
        ("tests/metrics/test_degenerate.py",),
    ),
    Mutation(
        "noise flatness 0.8",
        "clapgen/metrics/embeddings/degenerate.py",
        "NOISE_FLATNESS = 0.95",
        "NOISE_FLATNESS = 0.8",
        ("tests/metrics/test_degenerate.py",),
    ),
    Mutation(
        "edge of the reference ball outside",
        "clapgen/metrics/embeddings/prdc.py",
        "distances <= reference_radii[rows, None]",
        "distances < reference_radii[rows, None]",
        ("tests/metrics/test_prdc.py",),
    ),
    Mutation(
        "edge of the generated ball outside",
        "clapgen/metrics/embeddings/prdc.py",
        "distances <= generated_radii",
        "distances < generated_radii",
        ("tests/metrics/test_prdc.py",),
    ),
    # bridges
    Mutation(
        "noise added before normalising",
        "captioning/bridges/noise.py",
        "F.normalize(F.normalize(embeddings, dim=-1) + std * noise, dim=-1)",
        "F.normalize(embeddings + std * noise, dim=-1)",
        BRIDGE_TESTS,
    ),
    Mutation(
        "variance taken for standard deviation",
        "captioning/bridges/noise.py",
        "else math.sqrt(config.variance)",
        "else config.variance",
        BRIDGE_TESTS,
    ),
    Mutation(
        "variance taken for standard deviation (adapter)",
        "captioning/bridges/adapter.py",
        "dim, math.sqrt(config.variance)",
        "dim, config.variance",
        BRIDGE_TESTS,
    ),
    Mutation(
        "variance taken for standard deviation (soft prompt)",
        "captioning/bridges/soft_prompt.py",
        "dim, math.sqrt(config.variance)",
        "dim, config.variance",
        BRIDGE_TESTS,
    ),
    Mutation(
        "calibrated noise from the mean difference",
        "captioning/bridges/noise.py",
        ".abs().amax(1).mean()",
        ".mean(0).abs().amax()",
        BRIDGE_TESTS,
    ),
    Mutation(
        "diffusion bridge: signal length",
        DIFFUSION,
        "share.sqrt() * self.config.signal_to_noise * clean",
        "share.sqrt() * clean",
        DIFFUSION_TESTS,
    ),
    Mutation(
        "diffusion bridge: DDIM share",
        DIFFUSION,
        "self.signal_share[now - 1], self.signal_share[after - 1]",
        "self.signal_share[now - 1], self.signal_share[now - 1]",
        DIFFUSION_TESTS,
    ),
    Mutation(
        "diffusion bridge: paired target",
        DIFFUSION,
        "self._error(from_audio, text)",
        "self._error(from_audio, audio)",
        DIFFUSION_TESTS,
    ),
    Mutation(
        "diffusion bridge: topology loss off",
        DIFFUSION,
        "self.config.topology_weight * topology",
        "0 * topology",
        DIFFUSION_TESTS,
    ),
    Mutation(
        "diffusion bridge: audio mean",
        DIFFUSION,
        "self._denoise(F.normalize(embeddings - self.audio_mean, dim=-1)",
        "self._denoise(F.normalize(embeddings - self.text_mean, dim=-1)",
        DIFFUSION_TESTS,
    ),
    Mutation(
        "diffusion bridge: step times off by one",
        DIFFUSION,
        "torch.full((len(direction),), now - 1, device=direction.device)",
        "torch.full((len(direction),), now, device=direction.device)",
        DIFFUSION_TESTS,
    ),
    # caches
    Mutation(
        "cache key without window policy",
        "clapgen/embedders/base.py",
        "        embedder.window_policy,\n",
        "",
        KEY_TESTS,
    ),
    Mutation(
        "cache key without device",
        "clapgen/embedders/base.py",
        "        device_type(embedder),\n",
        "",
        KEY_TESTS,
    ),
    Mutation(
        "cache key without version",
        "clapgen/embedders/cache.py",
        "[identity_of(self.embedder), limit, EMBEDDING_VERSION]",
        "[identity_of(self.embedder), limit]",
        KEY_TESTS,
    ),
    Mutation(
        "cache key of texts without version",
        "clapgen/embedders/text_cache.py",
        "vocabulary, EMBEDDING_VERSION]",
        "vocabulary]",
        KEY_TESTS,
    ),
    Mutation(
        "cache key without vocabulary",
        "clapgen/embedders/text_cache.py",
        "[identity_of(embedder), vocabulary, EMBEDDING_VERSION]",
        "[identity_of(embedder), EMBEDDING_VERSION]",
        KEY_TESTS,
    ),
    Mutation(
        "cache key without frames or clips",
        "clapgen/embedders/cache.py",
        "cache_key(kind, [identity_of(self.embedder)",
        'cache_key("clip", [identity_of(self.embedder)',
        KEY_TESTS,
    ),
    Mutation(
        "cache key of composed sounds without their clips",
        "clapgen/evaluation/composed_sounds.py",
        "[settings, *(clips.digests[index] for index in item.clips)]",
        "[settings, *item.labels]",
        KEY_TESTS,
    ),
    Mutation(
        "cache key of composed sounds without seconds",
        "clapgen/evaluation/composed_sounds.py",
        "ITEM_VERSION, seconds]",
        "ITEM_VERSION]",
        KEY_TESTS,
    ),
    Mutation(
        "cache key of composed sounds without version",
        "clapgen/evaluation/composed_sounds.py",
        "EMBEDDING_VERSION, ITEM_VERSION, seconds]",
        "seconds]",
        KEY_TESTS,
    ),
    Mutation(
        "checksum without key",
        "clapgen/embedders/store.py",
        "hashlib.blake2b(key + value",
        "hashlib.blake2b(value",
        CACHE_TESTS,
    ),
    Mutation(
        "every file settled at once",
        "clapgen/embedders/file_identity.py",
        "st_mtime < time.time() - SETTLED_SECONDS",
        "st_mtime < time.time() + SETTLED_SECONDS",
        CACHE_TESTS,
    ),
    Mutation(
        "a file replaced while it was read",
        "clapgen/embedders/cache.py",
        "        file.check_unchanged()\n",
        "",
        CACHE_TESTS,
    ),
    Mutation(
        "a clip replaced before it was composed",
        "clapgen/evaluation/composed_sounds.py",
        "        files[index].check_unchanged()\n",
        "",
        KEY_TESTS,
    ),
    # models
    Mutation(
        "means of windows not normalised",
        "clapgen/clap/model.py",
        "return F.normalize(means, dim=-1)",
        "return means",
        ("tests/clap/test_clap.py",),
    ),
    Mutation(
        "means of windows not normalised (public CLAP)",
        "clapgen/embedders/public.py",
        "F.normalize(torch.stack(means), dim=-1) if self.normalised else torch.stack(means)",
        "torch.stack(means)",
        ("tests/embedders/test_embedders.py",),
    ),
    Mutation(
        "the hub reachable always",
        "clapgen/cli/options.py",
        "if needs_hub(name):",
        "if True:",
        ("tests/cli/test_options.py",),
    ),
]
