"""What sounds and texts mean: `/v1/embeddings`, `/v1/captions`, `/v1/classify`, `/v1/score`, `/v1/locate`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from clapgen.data.text import DEFAULT_TEMPLATE, clean_prompt, parse_labels
from clapgen.errors import ClapgenError
from clapgen.server import hearing
from clapgen.server.bodies import FORM, FormBody, JsonBody, content_type, form_body, json_body, read_form, read_json
from clapgen.server.documentation import JSON, answers
from clapgen.server.problems import Problem, problem_of
from clapgen.server.service import Service

MOST_TEXTS = 256
MODEL = Field(None, description="One of /v1/models; the first by default.")


class TextEmbeddings(JsonBody):
    """Body of /v1/embeddings for texts."""

    input: str | list[str] = Field(description=f"A text, or a list of at most {MOST_TEXTS}.")
    model: str | None = MODEL


class SoundFields(FormBody):
    """Fields of a form with a sound."""

    model: str | None = MODEL


class CaptionFields(SoundFields):
    """Fields of /v1/captions."""

    window: float = Field(10.0, description="Seconds of sound per caption; 0 for one caption of all.")
    candidates: int = Field(1, ge=1, le=64, description="Captions to make; the one with the best CLAP score is kept.")
    min_score: float | None = Field(None, ge=-1, le=1, description="CLAP score below which a caption is unsure.")
    bridge: str | None = Field(None, description="Bridges over the modality gap; the model's own by default.")


class ClassifyFields(SoundFields):
    """Fields of /v1/classify."""

    labels: str = Field(description="Labels, separated by commas.")
    template: str = Field(DEFAULT_TEMPLATE, description="Prompt with {label}.")
    none: bool = Field(False, description="Allow the answer that none of them applies (calibrated).")
    independent: bool = Field(False, description="Judge each label by itself (calibrated).")
    top: int = Field(5, ge=1, description="How many labels to answer.")


class ScoreFields(SoundFields):
    """Fields of /v1/score."""

    text: str = Field(description="What the sound is compared with.")


class LocateFields(SoundFields):
    """Fields of /v1/locate."""

    queries: list[str] = Field(min_length=1, max_length=32, description="What to look for; the field may be repeated.")
    threshold: float | None = Field(None, ge=0, le=1, description="Probability from which a sound counts as found.")
    min_seconds: float = Field(0.2, ge=0, description="Shortest segment.")
    max_gap: float = Field(0.4, ge=0, description="Longest pause within a segment.")


def routes(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["listening"], prefix="/v1")
    limit = service.settings.max_seconds

    def described(body: Any) -> dict[str, Any]:
        return {"openapi_extra": {"requestBody": body}, "responses": answers(JSON)}

    both = {"required": True, "content": json_body(TextEmbeddings)["content"] | form_body(SoundFields)["content"]}

    @router.post("/embeddings", summary="Embed texts or a sound", **described(both))
    async def embeddings(request: Request) -> Response:
        """Vectors of length 1 in one space: their dot product is their cosine. The shape is that of OpenAI's API."""
        if content_type(request) == FORM:
            fields, upload = await read_form(request, SoundFields, service.uploads)
            with refusing(upload):
                name = service.models.chosen(fields.model)
            sound = hearing.SoundEmbedding(service.models, name, upload, limit)
            return await service.done(request, "embedding", sound, upload, quick=True)
        body = await read_json(request, TextEmbeddings)
        given = [body.input] if isinstance(body.input, str) else body.input
        if not 1 <= len(given) <= MOST_TEXTS:
            raise Problem(422, f"'input' must have 1 to {MOST_TEXTS} texts, not {len(given)}.")
        with refusing():
            texts = [clean_prompt(text, "the text") for text in given]
            name = service.models.chosen(body.model)
        return await service.done(request, "embedding", hearing.TextEmbedding(service.models, name, texts), quick=True)

    @router.post("/captions", summary="Describe a sound in words", **described(form_body(CaptionFields)))
    async def captions(request: Request) -> Response:
        """One caption, or one for every ten seconds, with times and CLAP scores."""
        fields, upload = await read_form(request, CaptionFields, service.uploads)
        with refusing(upload):
            hearing.check_window(fields.window)
            name = service.models.chosen_for("caption", fields.model)
        settings = fields.model_dump(exclude={"model"})
        work = hearing.Captions(service.models, name, upload, limit, **settings)
        return await service.done(request, "caption", work, upload, quick=True)

    @router.post("/classify", summary="Classify a sound with your own labels", **described(form_body(ClassifyFields)))
    async def classify(request: Request) -> Response:
        """Probabilities over the labels; without `none` they share all of it, even if none applies."""
        fields, upload = await read_form(request, ClassifyFields, service.uploads)
        with refusing(upload):
            if fields.labels.lstrip().startswith("@"):
                raise ClapgenError("labels must be separated by commas; files are not read.")
            labels = parse_labels(fields.labels, "labels")
            if "{label}" not in fields.template:
                raise ClapgenError(f"template must contain {{label}}, e.g. '{DEFAULT_TEMPLATE}'")
            clean_prompt(fields.template, "template")
            name = service.models.chosen(fields.model)
        settings = fields.model_dump(exclude={"model", "labels"})
        work = hearing.Classification(service.models, name, upload, limit, labels=labels, **settings)
        return await service.done(request, "classification", work, upload, quick=True)

    @router.post("/score", summary="How well a sound matches a text", **described(form_body(ScoreFields)))
    async def score(request: Request) -> Response:
        """The CLAP score: the cosine of their embeddings, -1 to 1."""
        fields, upload = await read_form(request, ScoreFields, service.uploads)
        with refusing(upload):
            text = clean_prompt(fields.text, "the text")
            name = service.models.chosen(fields.model)
        work = hearing.Score(service.models, name, upload, limit, text=text)
        return await service.done(request, "score", work, upload, quick=True)

    @router.post("/locate", summary="Where in a sound something is", **described(form_body(LocateFields)))
    async def locate(request: Request) -> Response:
        """For each query its segments with probabilities, and the curve over time."""
        fields, upload = await read_form(request, LocateFields, service.uploads)
        with refusing(upload):
            from clapgen.localisation.queries import check_queries

            queries = check_queries([clean_prompt(query, "a query") for query in fields.queries])
            name = service.models.chosen(fields.model)
        settings = fields.model_dump(exclude={"model", "queries"})
        work = hearing.Locating(service.models, name, upload, limit, queries=queries, **settings)
        return await service.done(request, "location", work, upload, quick=True)

    return router


class refusing:  # reads as a statement
    """A block whose errors are problems, after which the upload of a refused request is deleted."""

    def __init__(self, upload: Any = None) -> None:
        self._upload = upload

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            return
        if self._upload is not None:
            self._upload.delete()
        raise problem_of(error) from error
