"""A plotly figure that Kedro-Viz draws; apart from the other files for plotly's import time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kedro_datasets.plotly

from headstart.datasets.files import WholeFile


class PlotlyDataset(WholeFile, kedro_datasets.plotly.JSONDataset):
    """A plotly figure as JSON, either whole or absent."""

    def _write(self, data: Any, path: Path) -> None:
        path.write_text(data.to_json(**self._save_args), encoding="utf-8")
