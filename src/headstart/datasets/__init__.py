"""Catalog types of the project. Each is imported when it is first asked for.

In the catalog they are named `headstart.datasets.ImageFolderDataset` and so on.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "AdaptedLearnerDataset": "adapted_learner",
    "CSVDataset": "files",
    "CheckpointsDataset": "checkpoints",
    "ConfigurationDataset": "configuration",
    "DeviceMemoryDataset": "device_memory",
    "EncoderDataset": "encoder",
    "FeaturesDataset": "features",
    "FittedModelDataset": "fitted_model",
    "FittedTasksDataset": "fitted_tasks",
    "FittedTextDataset": "fitted_text",
    "GlyphsDataset": "glyphs",
    "HuggingFaceTextDataset": "text_hugging_face",
    "ImageFolderDataset": "image_folder",
    "ImagePatchesDataset": "image_patches",
    "ImageStoreDataset": "image_store",
    "ImageTableDataset": "image_table",
    "JSONDataset": "files",
    "LanguageModelDataset": "language_model",
    "MetaLearnerDataset": "meta_learner",
    "ModelConfigurationsDataset": "model_configurations",
    "NewRowsDataset": "new_rows",
    "PackageDataset": "package",
    "ParquetDataset": "files",
    "PickledFrameDataset": "pickled_frame",
    "PlotlyDataset": "plotly_figure",
    "PretextExamplesDataset": "pretext_examples",
    "TaskTableDataset": "task_table",
    "TextDataset": "files",
    "TextFolderDataset": "text_folder",
    "TextTableDataset": "text_table",
    "TorchWeightsDataset": "torch_weights",
    "TorchvisionDataset": "torchvision_images",
    "WordVectorsDataset": "word_vectors",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
