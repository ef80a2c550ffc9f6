"""Labels of sounds in German, French and Spanish, and prompts with them.

`translations.tsv` holds the 50 classes of ESC-50 and about 320 other labels. The classes of ESC-50 have one more
wording in each language that is held out of all training (Hund: Hundegebell).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from clapgen.data.text import DEFAULT_TEMPLATE, label_key, read_text, readable_label
from clapgen.errors import ClapgenError, nearest

TABLE = Path(__file__).with_name("translations.tsv")
LANGUAGES = {"de": "German", "fr": "French", "es": "Spanish"}

# {label} is a noun phrase without article: no template makes it inflect. All languages say the same at each place.
ENGLISH_TEMPLATES = (
    DEFAULT_TEMPLATE,
    "{label}",
    "the sound of {label}",
    "{label} can be heard",
    "a recording of {label}",
)
TEMPLATES = {
    "de": ("Geräusch: {label}", "{label}", "Klang: {label}", "Zu hören: {label}", "Tonaufnahme: {label}"),
    "fr": ("Bruit : {label}", "{label}", "bruit de {label}", "on entend : {label}", "enregistrement : {label}"),
    "es": ("Sonido: {label}", "{label}", "sonido de {label}", "se oye: {label}", "grabación: {label}"),
}
_SILENT_H = ("hélic", "homme", "horlog", "herbe", "hennis")  # "bruit d'hélicoptère", but "bruit de hache"


@dataclass(frozen=True)
class Translation:
    """A label in one language: noun phrases, whole sentences, and a wording that no training uses (or "")."""

    phrases: tuple[str, ...]
    sentences: tuple[str, ...]
    held_out: str


@cache
def translations() -> Mapping[str, Mapping[str, Translation]]:
    """Label, as its `label_key` → language → translation."""
    table: dict[str, dict[str, Translation]] = {}
    for line in read_text(TABLE).split("\n"):
        if not line.strip() or line.startswith("#"):
            continue
        labels, *cells = line.split("\t")
        row = {
            language: _translation(cells[number], cells[number + len(LANGUAGES) :][:1])
            for number, language in enumerate(LANGUAGES)
        }
        table |= {label_key(label.strip()): row for label in labels.split(",")}
    return table


def _translation(cell: str, held_out: list[str]) -> Translation:
    wordings = [wording.strip() for wording in cell.split(";")]
    phrases = tuple(wording for wording in wordings if not wording.startswith("!"))
    sentences = tuple(wording[1:] for wording in wordings if wording.startswith("!"))
    return Translation(phrases, sentences, held_out[0].strip() if held_out else "")


def check_language(language: str) -> None:
    """`ClapgenError` unless it is one of `LANGUAGES`."""
    if language not in LANGUAGES:
        known = ", ".join(f"{code} ({name})" for code, name in LANGUAGES.items())
        raise ClapgenError(f"no translations into '{language}'; choose {known}.")


def translate(label: str, language: str, held_out: bool = False) -> str:
    """A label in another language: its usual wording, or the one held out of training.

    Raises:
        ClapgenError: an unknown language; a label that is not in the table; `held_out`, and the label has only one.
    """
    check_language(language)
    row = translations().get(label_key(label))
    if row is None:
        raise ClapgenError(
            f"'{label}' has no translation into {LANGUAGES[language]}.{nearest(label, translations())} Choose "
            "classes that clapgen/wording/translations.tsv lists."
        )
    if held_out and not row[language].held_out:
        raise ClapgenError(f"'{label}' has no second wording in {LANGUAGES[language]}.")
    return row[language].held_out if held_out else row[language].phrases[0]


def has_held_out(label: str) -> bool:
    """Whether a label has a wording that no training uses."""
    row = translations().get(label_key(label))
    return row is not None and all(translation.held_out for translation in row.values())


def prompt(wording: str, template: str) -> str:
    """A noun phrase in a template of `TEMPLATES`, with the French elision: "bruit d'avion"."""
    vowel = wording[:1].lower() in tuple("aeiouéèêâîôœ") or wording.lower().startswith(_SILENT_H)
    if template in TEMPLATES["fr"] and vowel:
        template = template.replace("de {label}", "d'{label}")
    return template.replace("{label}", wording)


def prompts(label: str, language: str) -> list[tuple[str, str]]:
    """All prompts for a label in a language, each with its English sense; none for a label that is not in the table.

    Wordings that are held out are not among them.
    """
    row = translations().get(label_key(label))
    if row is None:
        return []
    pairs = zip(TEMPLATES[language], ENGLISH_TEMPLATES, strict=True)
    english = ENGLISH_TEMPLATES[2].replace("{label}", readable_label(label))
    return [
        (prompt(phrase, template), english_template.replace("{label}", readable_label(label)))
        for template, english_template in pairs
        for phrase in row[language].phrases
    ] + [(sentence, english) for sentence in row[language].sentences]
