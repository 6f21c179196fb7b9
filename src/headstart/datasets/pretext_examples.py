"""What pretext tasks saw and said: pictures and captions in one safetensors file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.datasets.local_path import LocalPathDataset
from headstart.datasets.tensors import read_arrays, write_arrays

if TYPE_CHECKING:
    from headstart.learning.pretext.task import Examples


class PretextExamplesDataset(LocalPathDataset["list[Examples]", "list[Examples]"]):
    """A list of `headstart.learning.pretext.task.Examples`, the captions in the file's header."""

    def save(self, data: list[Examples]) -> None:
        """Write pictures and captions."""
        arrays = {
            f"{i}/{k}/{column}": picture
            for i, some in enumerate(data)
            for k, example in enumerate(some.examples)
            for column, picture in enumerate(example.pictures)
        }
        facts = [
            {
                "source": some.source,
                "task": some.task,
                "captions": [e.captions for e in some.examples],
            }
            for some in data
        ]
        write_arrays(self._filepath, arrays, {"examples": facts})

    def load(self) -> list[Examples]:
        """Read pictures and captions."""
        from headstart.learning.pretext.task import Example, Examples

        arrays, facts = read_arrays(self._filepath)
        return [
            Examples(
                some["source"],
                some["task"],
                [
                    Example(
                        [arrays[f"{i}/{k}/{column}"] for column in range(len(captions))], captions
                    )
                    for k, captions in enumerate(some["captions"])
                ],
            )
            for i, some in enumerate(facts["examples"])
        ]
