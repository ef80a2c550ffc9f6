"""File names after the Universal Category System of sound editors: `CatID_FXName_CreatorID_SourceID_UserData`.

See universalcategorysystem.com. A CatID is a category in capitals and a subcategory, such as `DOORWood`; editors may
add one of their own after a hyphen (`DOORWood-CREAK`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(
    r"(?P<category>[A-Z]{3,}[a-z][A-Za-z]*)(?:-(?P<user_category>[^_]+))?_(?P<name>[^_]+)"
    r"(?:_(?P<creator>[^_]+))?(?:_(?P<source>[^_]+))?(?:_(?P<user_data>.+))?"
)


@dataclass(frozen=True)
class UcsName:
    """The parts of a file name; those that are missing are None."""

    category: str
    name: str
    user_category: str | None = None
    creator: str | None = None
    source: str | None = None
    user_data: str | None = None


def parse_ucs(stem: str) -> UcsName | None:
    """The parts of a file name without suffix; None if it does not follow the system."""
    match = _NAME.fullmatch(stem)
    return UcsName(**match.groupdict()) if match else None
