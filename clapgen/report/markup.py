"""Build HTML and SVG safely: everything that is not `Html` is escaped."""

import base64
import html
import re
from pathlib import Path
from typing import Any

_VOID = {"img", "meta"}
_NOT_IN_HTML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Html(str):
    """Markup that is inserted as it is; all other strings are escaped."""

    __slots__ = ()


def element(tag: str, *children: object, **attributes: Any) -> Html:
    """One element. Children that are not `Html` are escaped; None is skipped.

    Attributes that are None or False are skipped, True gives an attribute without a value; `class_` becomes `class`,
    and `_` inside a name becomes `-`.
    """
    given = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    written = "".join(
        f" {name}" if value is True else f' {name}="{text(value)}"'
        for name, value in given.items()
        if value is not None and value is not False
    )
    return Html(f"<{tag}{written}>" if tag in _VOID else f"<{tag}{written}>{joined(*children)}</{tag}>")


def joined(*children: object) -> Html:
    """Children one after another; None is skipped."""
    return Html("".join(child if isinstance(child, Html) else text(child) for child in children if child is not None))


def text(value: object) -> Html:
    """A value as escaped text; characters not allowed in HTML (NUL, unpaired surrogates) become U+FFFD."""
    return Html(html.escape(_NOT_IN_HTML.sub("\ufffd", str(value)), quote=True))


def data_uri(path: Path, media_type: str) -> str:
    """A data: URI with the content of a file."""
    return f"data:{media_type};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
