"""A pretrained language model: a `save_pretrained` folder, a hub name or a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError

from headstart.datasets.atomic import replace_whole

if TYPE_CHECKING:
    from headstart.learning.text.language_model import LanguageModel

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class LanguageModelDataset(AbstractDataset["LanguageModel", "LanguageModel"]):
    """A model of the library transformers with its tokenizer, in float32 on the CPU.

    Example:
        ```yaml
        pretrained.minilm:
          type: headstart.datasets.LanguageModelDataset
          filepath: data/01_raw/my_encoder # config.json, model.safetensors, tokenizer.json
        pretrained.llama:
          type: headstart.datasets.LanguageModelDataset
          hub: meta-llama/Llama-2-7b-hf # is downloaded
          causal: true
        ```

    Args:
        filepath: a folder that `save_pretrained` wrote, or a GGUF file.
        hub: instead of a path, the model's name on the Hugging Face hub.
        causal: whether it predicts the next word (with its language-model head), or encodes.
        metadata: ignored here, for plugins.
    """

    def __init__(
        self,
        *,
        filepath: str | None = None,
        hub: str | None = None,
        causal: bool = False,
        metadata: dict[str, Any] | None = None,
    ):
        if (filepath is None) == (hub is None):
            raise DatasetError("A language model needs either a `filepath` or a `hub` name.")
        self._filepath = None if filepath is None else Path(filepath)
        self._hub, self._causal = hub, causal
        self.metadata = metadata

    def load(self) -> LanguageModel:
        """Read model and tokenizer; nothing that is pickled is read.

        Raises:
            DatasetError: there is no such model, it has no weights, or they are pickled.
        """
        import torch
        import transformers

        from headstart.learning.text.language_model import LanguageModel, unquantized

        where, options = self._where()
        kind = transformers.AutoModelForCausalLM if self._causal else transformers.AutoModel
        before = transformers.logging.get_verbosity()
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(where, **options)
            if "gguf_file" not in options:
                options["use_safetensors"] = True
            network = kind.from_pretrained(where, dtype=torch.float32, **options)
        except MemoryError:
            raise
        except Exception as error:
            # Damaged files end in many kinds: SafetensorError, JSONDecodeError, OSError, …
            first = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise DatasetError(
                f"The language model {self._name()} cannot be read: {first}"
            ) from error
        finally:
            transformers.logging.set_verbosity(before)
        model = LanguageModel(network.eval(), tokenizer)
        # What was read into float32 is a model like any other, and can be saved like one.
        return unquantized(model) if "gguf_file" in options else model

    def configuration(self) -> dict[str, Any]:
        """The fields of its `config.json`; no weights are read.

        Raises:
            DatasetError: there is no such model.
        """
        from transformers import PreTrainedConfig

        where, options = self._where()
        try:
            fields, _ = PreTrainedConfig.get_config_dict(where, **options)
        except (OSError, ValueError) as error:
            first = str(error).splitlines()[0]
            raise DatasetError(
                f"The configuration of the language model {self._name()} cannot be read: {first}"
            ) from error
        return dict(fields)

    def save(self, data: LanguageModel) -> None:
        """Write a `save_pretrained` folder.

        Raises:
            DatasetError: there is no folder to write to.
        """
        if self._filepath is None:
            raise DatasetError(f"The language model {self._hub} on the hub can only be read.")
        with replace_whole(self._filepath) as folder:
            folder.mkdir()
            data.network.save_pretrained(folder)
            data.tokenizer.save_pretrained(folder)

    def fingerprint(self) -> str:
        """Of the files; a model on the hub counts by its name."""
        from headstart.fingerprint import path_fingerprint, value_fingerprint

        files = None if self._filepath is None else path_fingerprint(self._filepath)
        return value_fingerprint([self._hub, self._causal, files])

    def _where(self) -> tuple[str, dict[str, Any]]:
        path = self._filepath
        if path is None:
            return str(self._hub), {}
        offline = {"local_files_only": True}
        if path.suffix == ".gguf":
            if not path.is_file():
                raise DatasetError(f"The language model {path} does not exist.")
            return str(path.parent), {"gguf_file": path.name, **offline}
        if not (path / "config.json").is_file():
            raise DatasetError(
                f"The language model {path} does not exist, or is no folder that "
                "`save_pretrained` wrote: it has no config.json."
            )
        if not list(path.glob("*.safetensors")):
            pickled = sorted(p.name for pattern in _PICKLED for p in path.glob(pattern))
            if pickled:
                raise DatasetError(
                    f"The language model {path} has its weights in {pickled[0]}, a pickled file, "
                    "which can run code when it is read. Convert it where you trust it: load it "
                    "with transformers and call `save_pretrained` again, which writes safetensors."
                )
            raise DatasetError(
                f"The language model {path} has no weights: there is no *.safetensors in it."
            )
        return str(path), offline

    def _name(self) -> str:
        return str(self._filepath or self._hub)

    def _exists(self) -> bool:
        return self._filepath is None or self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "hub": self._hub, "causal": self._causal}
