"""A fitted text model: a folder with the model, its head and its configuration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from headstart.datasets.atomic import replace_whole
from headstart.datasets.fitted_model import read_config
from headstart.datasets.language_model import LanguageModelDataset
from headstart.datasets.local_path import LocalPathDataset
from headstart.datasets.tensors import read_arrays, to_bytes

if TYPE_CHECKING:
    from headstart.learning.text.fitted_text import FittedText


class FittedTextDataset(LocalPathDataset["FittedText", "FittedText"]):
    """`headstart.learning.text.fitted_text.FittedText` in a folder.

    `model/` is a `save_pretrained` folder that transformers opens as it is; `adapter/`, of LoRA,
    one that PEFT opens on top of the pretrained model; `head.safetensors` is the classification
    layer.
    """

    def save(self, data: FittedText) -> None:
        """Write the model."""
        with replace_whole(self._filepath) as folder:
            folder.mkdir()
            text = json.dumps(data.config, indent=1)
            (folder / "config.json").write_text(text, encoding="utf-8")
            (folder / "head.safetensors").write_bytes(to_bytes(data.head, {}))
            LanguageModelDataset(filepath=str(folder / "model")).save(data.model)
            if data.adapter is not None:
                data.adapter.save_pretrained(folder / "adapter")

    def load(self) -> FittedText:
        """Read the model; the adapter, which is merged into it, is not needed.

        Raises:
            DatasetError: there is no model, or a damaged one.
        """
        from headstart.learning.text.fitted_text import FittedText

        config = read_config(self._filepath)
        arrays, _ = read_arrays(self._filepath / "head.safetensors")
        model = LanguageModelDataset(
            filepath=str(self._filepath / "model"), causal=config["text"]["causal"]
        ).load()
        return FittedText(config=config, model=model, head=arrays)
