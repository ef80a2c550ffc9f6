"""`TextToAudio`: from prompts to waveforms, with guidance, seeds per item and candidates ranked per prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from clapgen.audio import read_audio
from clapgen.audio.mastering import Level, at_level, master, peak_dbfs
from clapgen.clap import Clap
from clapgen.clap.coverage import coverage_warning
from clapgen.data.text import clean_prompt
from clapgen.devices import choose_device, has_bfloat16, inference
from clapgen.errors import ClapgenError
from clapgen.model_store import Model, open_model, part_hashes
from generation.autoencoder.model import Autoencoder
from generation.compatibility import check_parts
from generation.diffusion.context import Neighbours
from generation.diffusion.guidance import GuidedVelocity, classifier_free
from generation.diffusion.model import DiffusionTransformer
from generation.diffusion.samplers import SAMPLERS, starting_at, timesteps
from generation.editing import start_editing
from generation.edits import Edit
from generation.generator import Callback, Generation
from generation.helped import help_of
from generation.ingredients import Ingredient
from generation.noise import gaussian, seed_of_item
from generation.requests import DEFAULTS, DTYPES, SEEDS, check_level, checked_setting
from generation.retrieval import Neighbour
from generation.sidecars import PARTS, model_identity
from generation.sources import checked_source

LARGEST_BATCH = 16  # items that share a batch on an accelerator


class TextToAudio:
    """Latent diffusion conditioned on CLAP embeddings, after AudioLDM (Liu et al. 2023).

    `generate` runs the steps in this order: `encode_prompts`, `initial_latents`, `solve`, `decode`, `rank`. What the
    caller has set in torch (training mode, autocast, default dtype and device) changes none of them.

    On a CPU every item runs through the network by itself, so that its samples are the same, bit for bit, in any
    batch; on an accelerator items share batches and agree within rounding.
    """

    def __init__(
        self,
        network: DiffusionTransformer,
        autoencoder: Autoencoder,
        clap: Clap,
        name: str = "unsaved",
        hashes: dict[str, str] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.network, self.autoencoder, self.clap = network, autoencoder, clap
        self.name, self.hashes = name, hashes or {}
        self.dtype = dtype or (torch.bfloat16 if has_bfloat16(self.device) else torch.float32)
        self.sample_rate = autoencoder.sample_rate

    @classmethod
    def from_pretrained(
        cls, name_or_path: Model = "default", device: str | torch.device = "cpu", dtype: str | None = None
    ) -> TextToAudio:
        """Load the three parts of a model.

        Args:
            dtype: of the diffusion network, "bfloat16" or "float32"; by default bfloat16 where the device has
                instructions for it.

        Raises:
            ClapgenError: an unknown model, a missing or damaged part, parts that were not trained for each other, a
                device that is not there.
        """
        if dtype is not None and dtype not in DTYPES:
            raise ClapgenError(f'unknown dtype "{dtype}"; choose {" or ".join(DTYPES)}')
        device = choose_device(device)
        folder = open_model(name_or_path)
        network = DiffusionTransformer.from_pretrained(folder)
        hashes = part_hashes(folder, PARTS)
        check_parts(folder, network.config)
        return cls(
            network.to(device),
            Autoencoder.from_pretrained(folder, device=device),
            Clap.from_pretrained(folder, device=device),
            folder.name,
            hashes,
            getattr(torch, dtype) if dtype else None,
        )

    @property
    def device(self) -> torch.device:
        """Where the diffusion network is."""
        return self.network.null_condition.device

    def describe(self) -> dict[str, Any]:
        """The model's name, the hash of each part's weights and the number format, as sidecars record them."""
        return model_identity(self.name, self.hashes, str(self.dtype).removeprefix("torch."))

    def prompt_warnings(self, prompts: Sequence[str]) -> dict[str, list[str]]:
        """What may keep a sound from following its prompt, one sentence each: more tokens than the text tower reads, or
        words that it does not know, as in another language. Prompts without any are left out."""
        limit, distinct = self.clap.max_tokens, list(dict.fromkeys(prompts))
        warnings: dict[str, list[str]] = {}
        for prompt, tokens in zip(distinct, self.clap.count_tokens(distinct), strict=True):
            cut = f"'{prompt[:40]}…' has {tokens} tokens; the model reads only the first {limit}."
            found = [cut] if tokens > limit else []
            if unknown := coverage_warning(prompt, self.clap.tokenizer):
                found.append(unknown)
            if found:
                warnings[prompt] = found
        return warnings

    def generate(
        self,
        prompts: Iterable[str],
        seconds: float = DEFAULTS.seconds,
        num_steps: int = DEFAULTS.num_steps,
        guidance_scale: float = DEFAULTS.guidance_scale,
        negative_prompt: str | None = None,
        seed: int = DEFAULTS.seed,
        candidates: int = DEFAULTS.candidates,
        callback: Callback | None = None,
        seeds: Iterable[int] | None = None,
        sampler: str = DEFAULTS.sampler,
        time_shift: float = DEFAULTS.time_shift,
        peak: float | None = None,
        loudness: float | None = None,
        level: str | None = None,
        neighbours: Sequence[Neighbour | Mapping[str, Any]] = (),
        neighbour_scale: float = DEFAULTS.neighbour_scale,
        neighbour_strength: float = DEFAULTS.neighbour_strength,
        neighbour_blend: float = DEFAULTS.neighbour_blend,
        edit: Edit | Mapping[str, Any] | None = None,
        mix: Sequence[Ingredient | Mapping[str, Any]] = (),
        without: Sequence[Ingredient | Mapping[str, Any]] = (),
    ) -> list[Generation]:
        """Generate one sound per prompt. The ranges are those of `generation.requests.RANGES`.

        Args:
            prompts: descriptions of the sounds.
            seconds: length, 0.5 to 30.
            num_steps: solver steps, 1 to 200.
            guidance_scale: 0 to 20; 1 is no guidance, more follows the prompt more closely (Ho & Salimans 2022).
            negative_prompt: what to avoid; replaces the empty condition in guidance.
            seed: of the first candidate, 0 to 2^64 - 1; candidate c uses `seed + c`. -1 draws one. The same for every
                prompt unless `seeds` gives one each.
            candidates: how many to generate per prompt, 1 to 64; the one with the best CLAP score *for that prompt* is
                returned.
            callback: called after every step with a dict: i, num_steps, t, x, denoised, and item, num_items.
            sampler: name of the solver, one of `SAMPLERS`.
            time_shift: 0.1 to 10; above 1 more of the steps are near the noise (Esser et al. 2024).
            peak, loudness, level: how loud the sounds are, one of: a peak in dBFS, -60 to 0 (-1 if none is given); a
                loudness in LUFS, -70 to 0 (EBU R 128; lower where it would clip); "as-is", as the decoder made them.
            neighbours: sounds that help, for all prompts; see `generation.retrieval.find_neighbours`. A model that was
                trained with neighbours looks at them.
            neighbour_scale: 0 to 20, how closely to follow them; only of such a model.
            neighbour_strength: 0.05 to 1; below 1, the solver starts at that time from the latents of a neighbour
                (SDEdit, Meng et al. 2022), of which the seed chooses one: the less, the more is left of it.
            neighbour_blend: 0 to 1, how far the condition is moved from the prompt towards the neighbours' sounds.
            mix: texts and sounds whose weighted embeddings are the condition, instead of the prompts.
            without: texts and sounds to stay away from, instead of the negative prompt.
            edit: what to do to another sound, instead of making a new one of `seconds`; see `generation.edits.Edit`.

        Raises:
            ClapgenError: an empty prompt or a value out of its range.
        """
        texts = _checked_prompts(prompts)
        wanted = {
            "seconds": seconds, "num_steps": num_steps, "guidance_scale": guidance_scale, "candidates": candidates,
            "negative_prompt": negative_prompt, "sampler": sampler, "time_shift": time_shift,
            "peak": peak, "loudness": loudness, "level": level, "neighbours": neighbours,
            "neighbour_scale": neighbour_scale, "neighbour_strength": neighbour_strength,
            "neighbour_blend": neighbour_blend, "edit": edit, "mix": mix, "without": without,
        }  # fmt: skip
        settings = {key: checked_setting(key, value, key) for key, value in wanted.items()}
        check_level(settings)
        items = _items(_checked_seeds(seeds, seed, len(texts)), settings["candidates"])
        if not texts:
            return []
        condition, negative = self.encode_prompts(texts, settings["negative_prompt"])
        if settings["mix"]:
            condition = self.blend(settings["mix"]).expand_as(condition)
        if settings["without"]:
            negative = self.blend(settings["without"])[0]
        editing = None if settings["edit"] is None else start_editing(self, settings["edit"])
        if editing is not None:
            settings["seconds"] = editing.seconds
            condition = condition if editing.condition is None else editing.condition.expand_as(condition)
        helped = help_of(self, condition, settings)
        if editing is not None and helped.latents:
            raise ClapgenError("an edit starts from a sound already; leave the neighbour strength at 1.")
        begin = editing.begin if editing and editing.mask is None else helped.start
        times = starting_at(begin, timesteps(settings["num_steps"], settings["time_shift"]))
        loud = Level(settings["peak"], settings["loudness"], settings["level"] == "as-is")
        sounds: list[tuple[NDArray[np.float32], float]] = []
        size = 1 if self.device.type == "cpu" else LARGEST_BATCH
        for start in range(0, len(items), size):
            rows, item_seeds = zip(*items[start : start + size], strict=True)
            noise = self.initial_latents(item_seeds, settings["seconds"])
            mask, known = (editing.mask, editing.known.expand_as(noise)) if editing else (None, None)
            latents = self.solve(
                editing.started(noise) if editing else helped.started(noise, item_seeds), times,
                helped.condition[list(rows)], negative, settings["seconds"], settings["guidance_scale"],
                settings["sampler"], mask, None if mask is None else known, _numbered(callback, start, len(items)),
                helped.context_of(len(rows)), settings["neighbour_scale"],
            )  # fmt: skip
            noise_seeds = [seed_of_item(texts[row], item_seed) for row, item_seed in zip(rows, item_seeds, strict=True)]
            for waveform in self.decode(latents, settings["seconds"], noise_seeds):
                if editing is None:
                    sounds.append(master(waveform, self.sample_rate, loud))
                else:
                    sounds.append(at_level(editing.finished(waveform), self.sample_rate, loud))
        waveforms, gains = zip(*sounds, strict=True)
        found = self.rank(texts, condition, [item_seed for _, item_seed in items], waveforms, gains)
        warnings = self.prompt_warnings([*texts, *filter(None, [settings["negative_prompt"]])])
        for sound in found:
            for text in filter(None, (sound.prompt, settings["negative_prompt"])):
                sound.warnings += warnings.get(text, [])
        return found

    def encode_prompts(self, prompts: Sequence[str], negative_prompt: str | None = None) -> tuple[Tensor, Tensor]:
        """Embeddings of prompts (prompts, condition_dim), and (condition_dim,) to guide away from."""
        texts = [*prompts, *([negative_prompt] if negative_prompt else [])]
        # One by one: the padding of a batch would change the last bits of a text's embedding, and thus its sound.
        embedded = torch.cat([self.clap.embed_text([text]) for text in texts]).to(self.device)
        return embedded[: len(prompts)], embedded[-1] if negative_prompt else self.network.null_condition

    def blend(self, ingredients: Sequence[Ingredient]) -> Tensor:
        """The weighted sum (1, condition_dim) of the embeddings of texts and sounds, of length 1.

        Raises:
            ClapgenError: a sound is gone, has changed or cannot be read.
        """
        total = torch.zeros(1, self.clap.dim)
        for each in ingredients:
            if each.text:
                embedded = self.clap.embed_text([each.text])
            else:
                waveform, rate = read_audio(checked_source(each.path, each.sha256, "the sound"), self.clap.sample_rate)
                embedded = self.clap.embed_audio([waveform], rate)
            total += each.weight * embedded
        return F.normalize(total, dim=1).to(self.device)

    def initial_latents(self, seeds: Sequence[int], seconds: float) -> Tensor:
        """Noise (seeds, latent_dim, frames), drawn on the CPU so that a seed is the same sound on every device."""
        shape = (self.autoencoder.latent_dim, self.autoencoder.frames_for(seconds))
        return torch.stack([gaussian(shape, seed) for seed in seeds]).to(self.device)

    def solve(
        self,
        latents: Tensor,
        times: Sequence[float],
        condition: Tensor,
        negative: Tensor,
        seconds: float,
        guidance_scale: float = DEFAULTS.guidance_scale,
        sampler: str = DEFAULTS.sampler,
        mask: Tensor | None = None,
        known: Tensor | None = None,
        callback: Callback | None = None,
        neighbours: Neighbours | None = None,
        neighbour_scale: float = DEFAULTS.neighbour_scale,
    ) -> Tensor:
        """Follow the guided velocity from `times[0]` to `times[-1]`.

        Args:
            latents: (batch, latent_dim, frames) at `times[0]`; pure noise if that is 1.
            condition: (batch, condition_dim); negative: (condition_dim,); see `encode_prompts`.
            seconds: length of the sounds.
            mask: (frames,) or a shape that broadcasts to the latents', true where to generate. The rest follows the
                clean latents `known` (batch, latent_dim, frames), noised to the current time, and ends as them: the
                conditional generation of inpainting and continuation.
            neighbours: retrieved sounds to be guided towards as well, by `neighbour_scale`.

        Returns: latents (batch, latent_dim, frames) at `times[-1]`; clean if that is 0.
        """
        if (mask is None) != (known is None):
            raise ValueError("solve needs both `mask` and `known`, or neither")
        window = min(seconds, self.network.config.window_seconds)
        base, guides = classifier_free(condition, negative, guidance_scale, neighbours, neighbour_scale)
        velocity = GuidedVelocity(self.network, base, guides, window, self.autoencoder.frames_for(window), self.dtype)

        with inference(self.network):
            if mask is None or known is None:
                return SAMPLERS.get(sampler)(velocity, latents, times, callback)
            straight = (latents - known) / times[0]  # every solver follows a constant velocity exactly

            def inside_mask(x: Tensor, time: float, mask: Tensor = mask) -> Tensor:
                return torch.where(mask, velocity(x, time), straight)

            return SAMPLERS.get(sampler)(inside_mask, latents, times, callback)

    def decode(self, latents: Tensor, seconds: float, noise_seeds: Sequence[int]) -> list[NDArray[np.float32]]:
        """Waveforms (samples,) of latents (batch, latent_dim, frames), cut to `seconds`, as the decoder makes them.

        Args:
            noise_seeds: of the noise in textures, one for each row; `generate` uses `generation.noise.seed_of_item`.
        """
        with torch.no_grad():
            decoded = self.autoencoder.decode(latents.float(), noise_seeds)
        return list(decoded[:, : round(seconds * self.sample_rate)].float().cpu().numpy())

    def rank(
        self,
        prompts: Sequence[str],
        condition: Tensor,
        seeds: Sequence[int],
        waveforms: Sequence[NDArray[np.float32]],
        gains: Sequence[float] | None = None,
    ) -> list[Generation]:
        """The candidate with the best CLAP score for each prompt.

        Args:
            condition: embeddings (prompts, condition_dim); see `encode_prompts`.
            seeds, waveforms: one per candidate, those of the first prompt first, as many for each prompt.
            gains: dB that mastering added to each waveform; none if None.
        """
        candidates = len(waveforms) // max(1, len(prompts))
        results = []
        for row, prompt in enumerate(prompts):
            first = row * candidates
            own = waveforms[first : first + candidates]
            with inference(self.clap):
                audio = torch.cat([self.clap.embed_audio([waveform], self.sample_rate) for waveform in own])
                scores = self.clap.similarity(audio, condition[row : row + 1].cpu())[:, 0].tolist()
            best = max(range(candidates), key=scores.__getitem__)
            gain = gains[first + best] if gains else 0.0
            results.append(
                Generation(
                    own[best], self.sample_rate, prompt, seeds[first + best], scores[best], scores,
                    decoder_peak=peak_dbfs(own[best]) - gain, gain=gain,
                )
            )  # fmt: skip
        return results


def _numbered(callback: Callback | None, item: int, num_items: int) -> Callback | None:
    return callback and (lambda progress: callback({**progress, "item": item, "num_items": num_items}))


def _items(seeds: Sequence[int], candidates: int) -> list[tuple[int, int]]:
    """(row of the prompt, seed) of every candidate."""
    return [(row, (seed + number) % SEEDS) for row, seed in enumerate(seeds) for number in range(candidates)]


def _checked_prompts(prompts: Iterable[str]) -> list[str]:
    if isinstance(prompts, (str, bytes)) or not isinstance(prompts, Iterable):
        raise ClapgenError("generate takes a list of prompts; put a single one into a list.")
    return [clean_prompt(prompt, f"prompt {number}") for number, prompt in enumerate(prompts, start=1)]


def _checked_seeds(seeds: Iterable[int] | None, seed: int, count: int) -> list[int]:
    if seeds is not None and not isinstance(seeds, Iterable):
        raise ClapgenError(f"seeds must be a list with a seed for each prompt, not {seeds!r}; or give one as seed.")
    checked = [checked_setting("seed", each, "seed") for each in ([seed] * count if seeds is None else seeds)]
    if len(checked) != count:
        raise ClapgenError(f"{len(checked)} seeds were given for {count} prompts; give one each")
    return checked
