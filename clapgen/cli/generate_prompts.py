"""`clapgen generate --edit-prompt`: prompts edited before sounds are generated from them, each printed once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clapgen.cli.console import garbage_collector_off, print_warning, spinner
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from clapgen.model_store import ModelFolder
    from generation.requests import GenerationRequest


@dataclass(frozen=True)
class EditOptions:
    """The options about prompts, as they were given."""

    edit_prompt: bool
    exemplars: Path | None
    rewriter: str | None

    def check(self, sidecar: Path | None, mixed: bool) -> None:
        """ClapgenError if they do not fit together, the sound of `sidecar` is to be generated again, or a mix."""
        given = {"--exemplars": self.exemplars, "--rewriter": self.rewriter}
        for option, value in given.items():
            if value is not None and not self.edit_prompt:
                raise ClapgenError(f"{option} is for editing prompts; add --edit-prompt.")
        if self.edit_prompt and mixed:
            raise ClapgenError("--edit-prompt goes with prompts, not with --mix or --like; omit it.")
        if self.edit_prompt and sidecar is not None:
            raise ClapgenError(
                "--from uses the prompt that is recorded and does not edit it again; omit --edit-prompt, or give the "
                "prompt instead of --from."
            )


def edit_prompts(
    requests: list[GenerationRequest], folder: ModelFolder, options: EditOptions
) -> list[GenerationRequest]:
    """The requests with their prompts edited, on the CPU, so that every device generates from the same text."""
    if not options.edit_prompt:
        return requests
    with garbage_collector_off(), spinner("Reading the captions"):
        from clapgen.clap import Clap
        from clapgen.embedders.cache import EmbeddingCache
        from generation.prompts import PromptEditor, captions_from_file, captions_of_model, edited

        captions = captions_from_file(options.exemplars) if options.exemplars else captions_of_model(folder)
        rewriter = _rewriter(options.rewriter) if options.rewriter else None
        clap = Clap.from_pretrained(folder, "cpu")
    with spinner(f"Editing the prompts like {len(captions):,} captions"):
        changed, edits = edited(requests, PromptEditor(clap, captions, EmbeddingCache(), rewriter=rewriter))
    for edit in edits:
        print_warning(str(edit))
    return changed


def _rewriter(name: str) -> Any:
    from clapgen.cli.options import allow_hub

    if not Path(name).expanduser().is_dir():
        allow_hub()
    from generation.prompts import LanguageModelRewriter

    return LanguageModelRewriter(name)
