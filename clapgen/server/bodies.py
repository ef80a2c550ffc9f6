"""Reading requests: JSON and forms with an upload, checked, with one sentence for what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request

from clapgen.data.text import decode_text, parse_json, shown
from clapgen.errors import ClapgenError, nearest
from clapgen.server.problems import Problem
from clapgen.server.settings import LONGEST_JSON
from clapgen.server.uploads import Upload, Uploads

JSON, FORM = "application/json", "multipart/form-data"
MOST_FIELDS = 100
FILE = "file"  # the field with the sound

_KINDS = {
    "string": "text", "float": "a number", "int": "a whole number", "bool": "true or false", "list": "a list",
    "dict": "an object", "model": "an object",
}  # fmt: skip


class JsonBody(BaseModel):
    """A body in JSON: no unknown keys, and no text where a number belongs."""

    model_config = ConfigDict(extra="forbid", strict=True)


class FormBody(BaseModel):
    """The fields of a form, which are all text."""

    model_config = ConfigDict(extra="forbid")


Body = TypeVar("Body", bound=BaseModel)


async def read_json(request: Request, model: type[Body]) -> Body:
    """The JSON body of a request.

    Raises:
        Problem: 415 for another content type, 400 for what is not JSON, 413 if it is too long, 422 for a wrong key or
            value.
    """
    _check_type(request, JSON)
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > LONGEST_JSON:
                raise Problem(413, f"the JSON has more than {LONGEST_JSON:,} bytes.")
    except ClientDisconnect:
        raise Problem(400, "the request ended early.") from None
    try:
        value = parse_json(decode_text(bytes(body), "the body"), "the body")
    except ClapgenError as error:
        raise Problem(400, str(error)) from error
    if not isinstance(value, dict):
        raise Problem(422, f"the body must be a JSON object, not {shown(value)}.")
    return checked(model, value)


async def read_form(request: Request, model: type[Body], uploads: Uploads) -> tuple[Body, Upload]:
    """The fields of a form and the sound in its field `file`, on disk: the caller deletes it.

    Raises:
        Problem: 415 for another content type, 400 for a broken form, 422 for a wrong field or no sound.
    """
    _check_type(request, FORM)
    try:
        async with request.form(max_files=1, max_fields=MOST_FIELDS, max_part_size=LONGEST_JSON) as form:
            files = [value for value in form.values() if isinstance(value, UploadFile)]
            if not isinstance(form.get(FILE), UploadFile):
                raise Problem(422, f"the form must have a sound in the field '{FILE}'.")
            several = _lists(model)
            fields: dict[str, Any] = {}
            for key, value in form.multi_items():
                if key == FILE:
                    continue
                if isinstance(value, UploadFile):
                    raise Problem(422, f"the field '{key[:60]}' must be text.")
                if key in several:
                    fields.setdefault(key, []).append(value)
                else:
                    fields[key] = value
            body = checked(model, {key: value for key, value in fields.items() if value != ""})
            return body, await uploads.keep(files[0])
    except ClientDisconnect:
        raise Problem(400, "the request ended early.") from None


def content_type(request: Request) -> str:
    """The content type of a request without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def checked(model: type[Body], values: dict[str, Any]) -> Body:
    """The values as a model. Raises `Problem` with the first thing that is wrong."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise Problem(422, _sentence(error, model, values)) from None
    except RecursionError:
        raise Problem(422, "the body is nested too deeply.") from None


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """For OpenAPI: that a route takes this as JSON."""
    return {"required": True, "content": {JSON: {"schema": _schema(model)}}}


def form_body(model: type[BaseModel]) -> dict[str, Any]:
    """For OpenAPI: that a route takes these fields and a sound as a form."""
    schema = _schema(model)
    sound = {"type": "string", "format": "binary", "description": "A sound in any format that FFmpeg reads."}
    schema["properties"] = {FILE: sound, **schema.get("properties", {})}
    schema["required"] = [FILE, *schema.get("required", [])]
    return {"required": True, "content": {FORM: {"schema": schema}}}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    for name, values in schema.pop("$defs", {}).items():  # OpenAPI looks for them elsewhere
        schema = _inlined(schema, f"#/$defs/{name}", values)
    return schema


def _inlined(value: Any, reference: str, values: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if value.get("$ref") == reference:
            return values
        return {key: _inlined(each, reference, values) for key, each in value.items()}
    return [_inlined(each, reference, values) for each in value] if isinstance(value, list) else value


def _check_type(request: Request, wanted: str) -> None:
    given = content_type(request)
    if given != wanted:
        raise Problem(415, f"the content type must be {wanted}, not {given[:60] or 'missing'}.", {"Accept": wanted})


def _lists(model: type[BaseModel]) -> Sequence[str]:
    return [name for name, field in model.model_fields.items() if "list" in str(field.annotation)]


def _sentence(error: ValidationError, model: type[BaseModel], values: dict[str, Any]) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(each) for each in first["loc"] if each not in _KINDS and "[" not in str(each))[:100]
    kind = str(first["type"])
    if kind == "extra_forbidden":
        known = list(model.model_fields)
        return f"unknown key '{where}'.{nearest(where, known)} Known: {', '.join(known)}."
    if kind == "missing":
        return f"'{where}' is missing."
    wanted = _KINDS.get(kind.removesuffix("_type").removesuffix("_parsing").removesuffix("_from_float"))
    if wanted:
        return f"'{where}' must be {wanted}, not {_shown(first.get('input'))}."
    return f"'{where}': {first['msg'][0].lower()}{first['msg'][1:]}."


def _shown(value: Any) -> str:
    try:
        return shown(value)
    except (TypeError, ValueError, RecursionError):
        return f"a {type(value).__name__}"
