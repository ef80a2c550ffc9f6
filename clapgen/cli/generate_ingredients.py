"""`clapgen generate --mix`, `--like` and `--without`: texts and sounds that a sound is to be like, or unlike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from generation.ingredients import Ingredient


def with_ingredients(
    prompts: list[str] | None, mix: list[str], like: list[Path], without: list[str], negative_prompt: str | None
) -> tuple[list[str] | None, dict[str, Any]]:
    """The prompts, and the settings `mix` and `without`, as far as they were given.

    A mix has no prompt of its own: it is called after what is in it.

    Raises:
        ClapgenError: options exclude each other, a file is missing, or a weight is not above 0.
    """
    if not (mix or like or without):
        return prompts, {}
    from generation.ingredients import Ingredient, ingredient_of, sound_ingredient

    if mix and (prompts or like):
        raise ClapgenError("--mix names all that is in the mix; put the prompt or the sound into another --mix.")
    if like and len(prompts or []) > 1:
        raise ClapgenError("--like goes with one prompt, or with none.")
    if without and negative_prompt:
        raise ClapgenError("--without and --negative-prompt exclude each other: --without takes texts too.")
    ingredients: list[Ingredient] = [ingredient_of(each, "--mix") for each in mix]
    if like:
        ingredients = [Ingredient(text=prompt) for prompt in prompts or []]
        ingredients += [sound_ingredient(file, "--like") for file in like]
    settings: dict[str, Any] = {}
    if ingredients:
        settings["mix"] = ingredients
        prompts = [" and ".join(each.name for each in ingredients)]
    if without:
        settings["without"] = [ingredient_of(each, "--without") for each in without]
    return prompts, settings
