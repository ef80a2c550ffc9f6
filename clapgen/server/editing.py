"""`POST /v1/audio/edits` (what `clapgen edit` does) and `/v1/sound-generation` (in the shape of ElevenLabs' API)."""

from __future__ import annotations

import hashlib
from pathlib import PurePath
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from clapgen.errors import ClapgenError
from clapgen.server.answers import MadeSound, MadeSounds
from clapgen.server.bodies import FormBody, form_body, json_body, read_form, read_json
from clapgen.server.documentation import SOUNDS, answers
from clapgen.server.elevenlabs import FORMATS, USUAL_FORMAT, encoded_as, guidance_of
from clapgen.server.generating import MOST_SOUNDS, OURS, refuse_several
from clapgen.server.listening import refusing
from clapgen.server.making import destination_of, make_sounds, request_of
from clapgen.server.service import Service
from clapgen.server.sounds_in import checked_length
from clapgen.server.uploads import Upload
from clapgen.server.work import Job
from generation.edits import KINDS, Edit, checked_edit, region_of
from generation.requests import DEFAULTS, RANDOM_SEED, GenerationRequest, with_seeds

_OF = {
    "strength": ("restyle", "upsample"), "regions": ("fill",), "before": ("extend",), "after": ("extend",),
    "joint": ("loop",), "above": ("upsample",),
}  # fmt: skip


class EditFields(FormBody):
    """Fields of /v1/audio/edits."""

    kind: str = Field(description="What to do.", json_schema_extra={"enum": list(KINDS)})
    prompt: str | None = Field(None, description="What is to be heard; like the sound itself by default.")
    strength: float | None = Field(None, description="Of restyle and upsample: 0 keeps it, 1 keeps nothing.")
    regions: list[str] = Field([], description="Of fill: START:END in seconds; the field may be repeated.")
    before: float | None = Field(None, description="Of extend: seconds to add before the sound.")
    after: float | None = Field(None, description="Of extend: seconds to add after the sound.")
    joint: float | None = Field(None, description="Of loop: seconds around the joint that are made anew.")
    above: float | None = Field(None, description="Of upsample: Hz above which the sound is made anew.")
    model: str | None = Field(None, description="One of /v1/models; the first by default.")
    num_steps: int = Field(DEFAULTS.num_steps, description="Sampler steps, 1 to 200.")
    guidance_scale: float = Field(DEFAULTS.guidance_scale, description="How closely to follow the prompt, 0 to 20.")
    negative_prompt: str | None = Field(None, description="What to avoid.")
    seed: int = Field(DEFAULTS.seed, description="Random seed; -1 draws one.")
    candidates: int = Field(DEFAULTS.candidates, description="Make so many, 1 to 64, and keep the best.")
    count: int = Field(1, ge=1, le=MOST_SOUNDS, description="Versions, with seeds that follow each other.")
    peak: float | None = Field(None, description="Peak in dBFS; the level as it is by default.")
    loudness: float | None = Field(None, description="Loudness in LUFS, instead of a peak.")
    format: str = Field("wav", description="Of the file, as in /v1/audio/generations.")
    rate: int | None = Field(None, description="Sample rate of the file in Hz; the model's by default.")
    channels: int = Field(1, description="2 for the same sound on both.")
    preview: bool = Field(False, description="Spectrograms of the unfinished sound among the events of a job.")


class SoundGeneration(BaseModel):
    """Body of ElevenLabs' text-to-sound-effects; keys that are not known are ignored, as clients send more."""

    model_config = ConfigDict(extra="ignore")

    text: str = Field(description="What is to be heard.")
    duration_seconds: float | None = Field(None, description="0.5 to 30; 10 by default.")
    prompt_influence: float | None = Field(0.3, ge=0, le=1, description="0 to 1: guidance from 1 to 10.")
    loop: bool | None = Field(False, description="Close the sound to a loop.")
    output_format: str | None = Field(None, description="As in the address; for clients that send it in the body.")
    model_id: str | None = Field(None, description="A name from /v1/models; others mean the default.")
    seed: int = Field(RANDOM_SEED, description="Random seed; -1 draws one. Not in ElevenLabs' API.")


def routes(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["sounds"])

    @router.post(
        "/v1/audio/edits",
        summary="Edit a sound",
        openapi_extra={"requestBody": form_body(EditFields)},
        responses=answers(SOUNDS),
    )
    async def edits(request: Request) -> Response:
        """Restyle a sound, fill regions of it, extend it, close it to a loop, or widen its band, as `clapgen edit`."""
        fields, upload = await read_form(request, EditFields, service.uploads)
        with refusing(upload):
            name = service.models.chosen(fields.model)
            refuse_several(request, fields.count)
            values = fields.model_dump()
            destination = destination_of(values)
            edit = _edit(fields, upload)
            requests = with_seeds([_edit_request(fields, edit, upload.name)], fields.count)

        def work(job: Job) -> MadeSounds:
            edit.span(checked_length(upload, service.settings.max_seconds))
            return make_sounds(
                job, service.models.generator(name), requests, destination, fields.preview, upload=upload.path
            )

        return await service.done(request, "edit", work, upload)

    described = json_body(SoundGeneration)
    where = {"name": "output_format", "in": "query", "schema": {"type": "string", "enum": list(FORMATS)}}

    @router.post(
        "/v1/sound-generation",
        summary="Generate a sound, in ElevenLabs' shape",
        openapi_extra={"requestBody": described, "parameters": [where]},
        responses=answers(SOUNDS),
    )
    async def sound_generation(request: Request) -> Response:
        """What clients of ElevenLabs and LocalAI send. The bit rate in a format is not kept; the codec and the sample
        rate are. Answers with the bytes of the sound."""
        body = await read_json(request, SoundGeneration)
        known = body.model_id in service.models.names
        name = service.models.chosen(body.model_id if known else None)
        format = request.query_params.get("output_format") or body.output_format or USUAL_FORMAT
        with refusing():
            if format not in FORMATS:
                raise ClapgenError(f"output_format must be one of {', '.join(FORMATS)}, not {format[:40]!r}.")
            seconds = DEFAULTS.seconds if body.duration_seconds is None else body.duration_seconds
            settings = {"seconds": seconds, "guidance_scale": guidance_of(body.prompt_influence), "seed": body.seed}
            asked = request_of({"prompt": body.text, **settings})

        def work(job: Job) -> MadeSounds:
            generator = service.models.generator(name)
            wav = destination_of({"format": "wav32"})
            made = make_sounds(job, generator, [asked], wav)
            if body.loop:
                made = _looped(service, job, generator, made.sounds[0], asked)
            return MadeSounds([encoded_as(made.sounds[0], format)], made.warnings)

        return await service.done(request, "sound-generation", work)

    return router


def _edit(fields: EditFields, upload: Upload) -> Edit:
    """The edit that the fields ask for. ClapgenError if one of them belongs to another kind."""
    given = {key: getattr(fields, key) for key in _OF if getattr(fields, key) not in (None, [])}
    for key in given:
        if fields.kind in KINDS and fields.kind not in _OF[key]:
            raise ClapgenError(f"{key} is of {' and '.join(_OF[key])}, not of {fields.kind}.")
    if "regions" in given:
        given["regions"] = [region_of(each) for each in given["regions"]]
    digest = hashlib.sha256(upload.path.read_bytes()).hexdigest()
    known = {"path": upload.name, "sha256": digest, "kind": fields.kind, "like": fields.prompt is None}
    if fields.kind == "restyle" and fields.prompt is None:
        raise ClapgenError("give a prompt to restyle a sound.")
    return checked_edit({**known, **given}, "the edit")


def _edit_request(fields: EditFields, edit: Edit, name: str) -> GenerationRequest:
    stem = PurePath(name).stem or "sound"
    values = fields.model_dump()
    settings = {key: values[key] for key in values if key not in (*OURS, *_OF, "kind")}
    if fields.peak is None and fields.loudness is None:
        settings["level"] = "as-is"
    return request_of({**settings, "prompt": fields.prompt or stem, "edit": edit, "name": f"{stem}-edited"})


def _looped(service: Service, job: Job, generator: Any, sound: MadeSound, asked: GenerationRequest) -> MadeSounds:
    """A sound closed to a loop."""
    upload = service.uploads.keep_bytes(sound.content, "sound.wav")
    try:
        digest = hashlib.sha256(sound.content).hexdigest()
        joint = min(1.0, asked.seconds / 2)
        edit = Edit(upload.name, digest, "loop", joint=joint)
        settings = {"guidance_scale": asked.guidance_scale, "seed": asked.seed, "level": "as-is", "edit": edit}
        request = request_of({"prompt": asked.prompt, **settings})
        wav = destination_of({"format": "wav32"})
        return make_sounds(job, generator, [request], wav, upload=upload.path)
    finally:
        upload.delete()
