"""Labels of one class in different spellings are one class."""

import pytest

from clapgen.data.text import distinct_labels, label_key, parse_labels, readable_label
from clapgen.errors import ClapgenError


def test_underscores_spaces_and_case_make_no_other_class() -> None:
    assert readable_label(" church_bells ") == readable_label("church  bells") == "church bells"
    assert len({label_key(label) for label in ("church_bells", "Church bells", " church__bells")}) == 1
    assert label_key("church bells") != label_key("churchbells")
    assert distinct_labels(["dog", "church_bells", "Dog", "church bells"]) == ["dog", "church bells"]


def test_two_spellings_of_one_label_are_refused() -> None:
    with pytest.raises(ClapgenError, match="more than once"):
        parse_labels("church_bells,rain,church bells")
