"""`Captioner`: audio in, captions out. The CLAP, the bridges and the decoder of one model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from captioning.bridges import Bridge, BridgeChain, BridgesConfig, create_bridge
from captioning.decoder import CaptionDecoder, DecoderConfig, Vocabulary
from captioning.decoding import Decoding
from clapgen.audio.silence import silence_of
from clapgen.audio.waveform import list_of_waveforms, mono_samples
from clapgen.clap.model import Waveforms
from clapgen.clap.tokenizer import load_tokenizer, save_tokenizer
from clapgen.devices import choose_device, inference
from clapgen.embedders import ClapEmbedder, is_public, load_clap, split_name
from clapgen.errors import ClapgenError, nearest
from clapgen.model_store import WEIGHTS_FILE, fill_module, load_part, resolve_model, save_part, weights_hash

PART = "captioner"
EMBEDDINGS_PER_BATCH = 32
SILENCE = "Silence"


@dataclass
class CaptionerConfig:
    """A decoder, its bridges, those used on audio by default (`bridge`), and the CLAP it was trained on."""

    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    bridges: BridgesConfig = field(default_factory=BridgesConfig)
    bridge: list[str] = field(default_factory=list)
    decoding: Decoding = field(default_factory=Decoding)
    clap_name: str = ""
    clap_hash: str = ""


@dataclass(frozen=True)
class Candidate:
    """A caption and its CLAP cosine with the audio, in [-1, 1]."""

    text: str
    score: float


@dataclass(frozen=True)
class Caption:
    """A caption, its CLAP cosine with the audio, and the candidates it was chosen from, best first.

    `note` is not empty if the decoder was not used, because the audio is silent.
    """

    text: str
    score: float
    candidates: list[Candidate]
    note: str = ""


class Captioner:
    """Captions audio with a decoder trained on text (NoAudioCaptioning, Deshmukh et al. 2023; WSAC)."""

    def __init__(
        self,
        clap: ClapEmbedder,
        decoder: CaptionDecoder,
        bridges: dict[str, Bridge],
        config: CaptionerConfig,
        name: str = "",
    ) -> None:
        self.clap, self.decoder, self.config, self.name = clap, decoder, config, name
        self._bridges = bridges
        self.hash = ""
        self.use_bridge(config.bridge)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "default",
        device: str | torch.device = "cpu",
        bridge: str | Sequence[str] | None = None,
        clap: str | Path | None = None,
    ) -> Captioner:
        """Load a captioner and its CLAP by name or folder.

        Args:
            bridge: bridges between CLAP and decoder, "memory" or "mean-shift+memory"; None for the model's own.
            clap: the CLAP that the captioner was trained on, as a model or a public CLAP; None for the one in
                the captioner's folder, or the public one that it names.

        Raises:
            ClapgenError: an unknown model or bridge, a missing or damaged part, or a CLAP that is not the captioner's.
        """
        device = choose_device(device)
        if split_name(str(name_or_path))[0]:
            raise _no_captioner(name_or_path)
        folder = resolve_model(name_or_path)
        if not (folder / PART).is_dir():
            raise _no_captioner(name_or_path)
        config, state = load_part(folder, PART, CaptionerConfig)
        chosen = bridge.split("+") if isinstance(bridge, str) else bridge
        if chosen is not None:
            _check_bridges(chosen, config)
        if clap is None:
            clap = config.clap_name if is_public(config.clap_name) else name_or_path
        embedder = load_clap(clap, device)  # before the decoder, whose import is slow, so that a wrong CLAP fails early
        check_clap(config, str(clap), embedder.hash, f"the captioner of {name_or_path}")
        vocabulary = Vocabulary(load_tokenizer(folder / PART / "tokenizer.json"))
        decoder = CaptionDecoder(config.decoder, vocabulary)
        bridges = {name: create_bridge(name, config.bridges, config.decoder.dim) for name in stored_bridges(config)}
        _fill(decoder, nn.ModuleDict(bridges), state, folder / PART / WEIGHTS_FILE)
        for network in (decoder, *bridges.values()):
            network.to(device).eval()
        captioner = cls(embedder, decoder, bridges, config, str(name_or_path))
        captioner.hash = weights_hash(folder, PART)
        if chosen is not None:
            captioner.use_bridge(chosen)
        return captioner

    def save_pretrained(self, model_dir: str | Path) -> None:
        """Write `captioner/` (config, tokenizer, fp16 weights) into a model folder."""
        save_captioner(model_dir, self.config, self.decoder, self._bridges)

    @property
    def device(self) -> torch.device:
        """Device of the decoder."""
        return next(self.decoder.parameters()).device

    @property
    def bridges(self) -> list[str]:
        """Names of the available bridges."""
        return ["none", *self._bridges]

    @property
    def bridge(self) -> str:
        """The bridges in use, joined by +."""
        return "+".join(self._chain.names) or "none"

    def use_bridge(self, names: Sequence[str]) -> None:
        """Use these bridges on audio, in this order, from now on. ClapgenError if one is not available."""
        _check_bridges(names, self.config)
        self._chain = BridgeChain([self._bridges[name] for name in names if name != "none"])

    def caption(
        self,
        waveforms: Waveforms,
        sample_rate: int,
        decoding: Decoding | None = None,
        candidates: int = 1,
    ) -> list[Caption]:
        """A caption for each mono waveform (samples,) at `sample_rate` Hz.

        Audio that peaks below -60 dBFS after its mean is removed gets the caption "Silence", a note and no candidates:
        the decoder would hallucinate on silence.

        Args:
            decoding: decoding settings; None for the model's own.
            candidates: number of captions to generate; the one with the highest CLAP cosine with the audio is returned
                (CLAP-Refine, SLAM-AAC, Chen et al. 2024).

        Raises:
            ClapgenError: a waveform that `Clap.embed_audio` refuses, or a setting out of range.
        """
        sounds = [mono_samples(waveform) for waveform in list_of_waveforms(waveforms)]
        audio = self.clap.embed_audio(sounds, sample_rate)
        return self.caption_embeddings(audio, decoding, candidates, [silence_of(sound) for sound in sounds])

    def caption_embeddings(
        self,
        audio: Tensor,
        decoding: Decoding | None = None,
        candidates: int = 1,
        silence: Sequence[str] | None = None,
    ) -> list[Caption]:
        """A caption for each CLAP audio embedding (n, dim) of length 1; arguments and errors as in `caption`.

        Args:
            silence: for each embedding the note of a silent sound (see `silence_of`), or "" for one to be captioned.
        """
        notes = silence or [""] * len(audio)
        audible = [index for index, note in enumerate(notes) if not note]
        captions = dict(zip(audible, self._decoded(audio[audible], decoding, candidates), strict=True))
        scores = (audio @ self.clap.embed_text([SILENCE])[0]).tolist() if len(audible) < len(notes) else []
        return [captions.get(index) or Caption(SILENCE, scores[index], [], note) for index, note in enumerate(notes)]

    def _decoded(self, audio: Tensor, decoding: Decoding | None, candidates: int) -> list[Caption]:
        if not len(audio):
            return []
        texts: list[list[str]] = []
        with self._inference():
            for batch in audio.split(EMBEDDINGS_PER_BATCH):
                bridged, words = self._chain.audio(batch.to(self.device))
                texts += self.decoder.generate(bridged, words, decoding or self.config.decoding, candidates)
        flat = [text for group in texts for text in group]
        row_of = {each: row for row, each in enumerate(dict.fromkeys(flat))}  # duplicates are embedded once
        text = self.clap.embed_text(list(row_of))[[row_of[each] for each in flat]]
        cosines = (text * audio.cpu().repeat_interleave(candidates, 0)).sum(-1).tolist()
        captions = []
        for start in range(0, len(flat), candidates):
            stop = start + candidates
            group = [Candidate(*each) for each in zip(flat[start:stop], cosines[start:stop], strict=True)]
            group.sort(key=lambda candidate: -candidate.score)
            captions.append(Caption(group[0].text, group[0].score, list(dict.fromkeys(group))))
        return captions

    def bridged_audio(self, audio: Tensor) -> Tensor:
        """The decoder's input (n, dim) for audio embeddings (n, dim), behind the bridges in use."""
        with self._inference():
            return self._chain.audio(audio.to(self.device))[0]

    def bridged_text(self, text: Tensor) -> Tensor:
        """Text embeddings (n, dim) behind the bridges in use, without augmentation: the target of `bridged_audio`."""
        with self._inference():
            return self._chain.text(text.to(self.device))

    def _inference(self) -> AbstractContextManager[None]:
        return inference(self.decoder, *self._bridges.values())

    def describe(self) -> dict[str, Any]:
        """Everything a caption depends on apart from the audio: names and hashes of the weights, bridge, decoding."""
        return {
            "model": self.name,
            "hashes": {"clap": self.clap.hash, PART: self.hash},
            "bridge": self.bridge,
            "decoding": asdict(self.config.decoding),
        }


def check_clap(config: CaptionerConfig, clap: str, found: str, what: str) -> None:
    """Raise ClapgenError, naming both, if a CLAP is not the one that a captioner was trained on."""
    if config.clap_hash and found and config.clap_hash != found:
        raise ClapgenError(
            f"{what} was trained on the CLAP {config.clap_name} ({config.clap_hash}, {config.decoder.dim} wide), but "
            f"{clap} holds the CLAP {found}; use the one it was trained on, or train a captioner on this one: "
            f"clapgen train captioner clap={clap}"
        )


def save_captioner(
    model_dir: str | Path, config: CaptionerConfig, decoder: CaptionDecoder, bridges: dict[str, Bridge]
) -> None:
    """Write `captioner/` into a model folder."""
    folder = Path(model_dir)
    save_tokenizer(decoder.vocabulary.tokenizer, folder / PART / "tokenizer.json")
    state = {f"decoder.{key}": value for key, value in decoder.stored_state().items()}
    for name, bridge in bridges.items():
        state |= {f"bridges.{name}.{key}": value for key, value in bridge.state_dict().items()}
    save_part(folder, PART, config, state)


def _no_captioner(model: str | Path) -> ClapgenError:
    return ClapgenError(
        f"the model {model} has no captioner; train one: clapgen train captioner text=FILE clap={model}"
    )


def _check_bridges(names: Sequence[str], config: CaptionerConfig) -> None:
    available = ["none", *stored_bridges(config)]
    for name in names:
        if name not in available:
            create_bridge(name, config.bridges, config.decoder.dim)  # raises if the name is unknown
            raise ClapgenError(
                f"this captioner has no bridge '{name}', only {', '.join(available)}; train one with "
                f"bridges.extra=[{name}].{nearest(name, available)}"
            )


def stored_bridges(config: CaptionerConfig) -> list[str]:
    """Names of the bridges that are stored: those of training and the extra ones."""
    names = [*config.bridges.names, *config.bridges.extra]
    return [name for name in dict.fromkeys(names) if name != "none"]


def _fill(decoder: CaptionDecoder, bridges: nn.ModuleDict, state: dict[str, Tensor], file: Path) -> None:
    """Load stored weights; the shapes of bridges can depend on the data they were fitted on."""
    own = {key.removeprefix("decoder."): value for key, value in state.items() if key.startswith("decoder.")}
    others = {key.removeprefix("bridges."): value for key, value in state.items() if key.startswith("bridges.")}
    fill_module(decoder, CaptionDecoder.full_state(own), file)
    try:
        bridges.load_state_dict(others)
    except RuntimeError as error:
        raise ClapgenError(f"{file} does not fit its config ({str(error).splitlines()[-1].strip()})") from error
