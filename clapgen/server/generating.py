"""`POST /v1/audio/generations`: sounds from text, with the settings of `clapgen generate`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from clapgen.errors import ClapgenError
from clapgen.server.answers import MadeSounds, wants_json
from clapgen.server.bodies import JsonBody, json_body, read_json
from clapgen.server.documentation import SOUNDS, answers
from clapgen.server.making import FILE_KEYS, destination_of, make_sounds, request_of
from clapgen.server.problems import Problem, problem_of
from clapgen.server.service import Service
from clapgen.server.work import Job
from generation.destinations import FILE_RANGES, FORMATS
from generation.requests import DEFAULTS, LEVELS, RANGES, Range, with_seeds

MOST_SOUNDS = 8  # of one request


def within(allowed: Range, description: str, default: Any = None) -> Any:
    """A setting with its range, which `checked_setting` checks in the words of the command line."""
    return Field(default, description=description, json_schema_extra={"minimum": allowed.low, "maximum": allowed.high})


class MixedText(JsonBody):
    """A text and its weight."""

    text: str = Field(json_schema_extra={"minLength": 1})
    weight: float = Field(1.0, json_schema_extra={"exclusiveMinimum": 0, "maximum": 100})


class SoundSettings(JsonBody):
    """What sounds that are generated and sounds that are edited have in common."""

    model: str | None = Field(None, description="One of /v1/models; the first by default.")
    num_steps: int = within(RANGES["num_steps"], "Sampler steps; more is slower and finer.", DEFAULTS.num_steps)
    guidance_scale: float = within(
        RANGES["guidance_scale"], "How closely to follow the prompt; 1 is no guidance.", DEFAULTS.guidance_scale
    )
    negative_prompt: str | None = Field(None, description="What to avoid.")
    seed: int = within(RANGES["seed"], "Random seed; -1 draws one.", DEFAULTS.seed)
    candidates: int = within(
        RANGES["candidates"], "Generate this many, and keep the one with the best CLAP score.", DEFAULTS.candidates
    )
    count: int = Field(
        1, ge=1, le=MOST_SOUNDS, description="Sounds, with seeds that follow each other; more than one needs JSON."
    )
    peak: float | None = within(RANGES["peak"], "Peak in dBFS.")
    loudness: float | None = within(RANGES["loudness"], "Loudness in LUFS (EBU R 128), instead of a peak.")
    format: str = Field("wav", description="Of the file.", json_schema_extra={"enum": list(FORMATS)})
    rate: int | None = within(FILE_RANGES["rate"], "Sample rate of the file in Hz; the model's by default.")
    channels: int = within(FILE_RANGES["channels"], "2 for the same sound on both.", 1)
    preview: bool = Field(False, description="Spectrograms of the unfinished sound among the events of a job.")


class Generations(SoundSettings):
    """Body of /v1/audio/generations."""

    prompt: str = Field(description="What is to be heard.", json_schema_extra={"minLength": 1, "maxLength": 1000})
    seconds: float = within(RANGES["seconds"], "Length in seconds.", DEFAULTS.seconds)
    sampler: str = Field(DEFAULTS.sampler, description="euler, heun or multistep.")
    time_shift: float = within(
        RANGES["time_shift"], "Above 1 spends more steps on the coarse structure.", DEFAULTS.time_shift
    )
    level: str | None = Field(
        None, description="as-is keeps the loudness.", json_schema_extra={"enum": [*LEVELS, None]}
    )
    mix: list[MixedText] = Field([], description="Texts with weights whose mixture is made, instead of the prompt.")
    without: list[MixedText] = Field([], description="Texts to stay away from, instead of the negative prompt.")


OURS = (*FILE_KEYS, "model", "count", "preview")  # keys that are no settings of a sound


def routes(service: Service) -> APIRouter:
    """The route of /v1/audio/generations."""
    router = APIRouter(tags=["sounds"])

    @router.post(
        "/v1/audio/generations",
        summary="Generate sounds from text",
        openapi_extra={"requestBody": json_body(Generations)},
        responses=answers(SOUNDS),
    )
    async def generations(request: Request) -> Response:
        """The same settings and seed give the same bytes as `clapgen generate`.

        Answers with the bytes of the sound, or, if JSON is accepted, with its bytes in base64 and its sidecar. With
        `Prefer: respond-async` it answers at once with a job.
        """
        body = await read_json(request, Generations)
        name = service.models.chosen(body.model)
        refuse_several(request, body.count)
        values = body.model_dump()
        try:
            destination = destination_of(values)
            settings = {key: value for key, value in values.items() if key not in OURS}
            requests = with_seeds([request_of(settings)], body.count)
        except ClapgenError as error:
            raise problem_of(error) from error

        def work(job: Job) -> MadeSounds:
            return make_sounds(job, service.models.generator(name), requests, destination, body.preview)

        return await service.done(request, "generation", work)

    return router


def refuse_several(request: Request, count: int) -> None:
    """Raise `Problem` if several sounds are to be answered as the bytes of one."""
    if count > 1 and not wants_json(request):
        raise Problem(406, "several sounds are answered as JSON; send Accept: application/json.")
