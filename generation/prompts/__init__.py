"""Prompts that say enough: a short prompt becomes a caption like those that the model was trained on."""

from generation.prompts.caption_library import (
    captions_from_file,
    captions_of_manifest,
    captions_of_model,
    save_captions,
)
from generation.prompts.editor import PromptEdit, PromptEditor, edited
from generation.prompts.rewriter import LanguageModelRewriter

__all__ = [
    "LanguageModelRewriter",
    "PromptEdit",
    "PromptEditor",
    "captions_from_file",
    "captions_of_manifest",
    "captions_of_model",
    "edited",
    "save_captions",
]
