"""Codecs by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clapgen.devices import choose_device
from clapgen.embedders.checkpoints import find_checkpoint, model_type_of
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    import torch

    from clapgen.codecs.base import Codec

NAMES = (
    "facebook/encodec_24khz",
    "facebook/encodec_32khz",
    "facebook/encodec_48khz",
    "descript/dac_16khz",
    "descript/dac_24khz",
    "descript/dac_44khz",
)


def load_codec(name: str, device: str | torch.device = "cpu") -> Codec:
    """Load a codec: the folder of an EnCodec or a DAC in transformers' layout, or its name on the Hugging Face hub.

    Raises:
        ClapgenError: there is none, it is of another kind, is damaged, or cannot be downloaded.
    """
    from clapgen.codecs.dac import Dac
    from clapgen.codecs.encodec import Encodec

    device = choose_device(device)
    folder = find_checkpoint(name)
    found = model_type_of(folder)
    for codec in (Encodec, Dac):
        if codec.model_type == found:
            return codec(name, folder, device)
    kind = f"of type '{found}'" if found else "without a config.json"
    raise ClapgenError(f"{name} is a model {kind}, not a codec such as {NAMES[0]} or {NAMES[-1]}.")
