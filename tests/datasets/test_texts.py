"""Texts from tables and folders: what is loaded, and what is said when it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.io import DatasetError

from headstart.datasets import TextFolderDataset, TextTableDataset

FRAME = pd.DataFrame({"body": ["one", " two ", None, "NA"], "queue": ["x", "y", "x", "null"]})


def table(folder: Path, kind: str) -> Path:
    path = folder / f"tickets{kind}"
    if kind == ".parquet":
        FRAME.to_parquet(path)
    elif kind == ".jsonl":
        FRAME.to_json(path, orient="records", lines=True)
    else:
        FRAME.to_csv(path, sep="," if kind == ".csv" else "\t", index=False)
    return path


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".tab", ".parquet", ".jsonl"])
def test_every_kind_of_table_gives_the_same_texts(tmp_path: Path, kind: str) -> None:
    path = table(tmp_path, kind)
    loaded = TextTableDataset(filepath=str(path), text_column="body", label_column="queue").load()
    assert loaded["path"].tolist() == [f"tickets{kind}#{row}" for row in range(4)]
    assert loaded["text"].fillna("-").tolist() == ["one", "two", "-", "NA"]
    assert loaded["label"].tolist() == ["x", "y", "x", "null"]


def test_labels_are_renamed_others_left_out_and_classes_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\n" + "\n".join(f"t{i},{i % 3}" for i in range(9)))
    options: dict[str, Any] = {"filepath": str(path), "labels": {0: "zero", 1: "one"}}
    some = TextTableDataset(**options, others="leave_out", most_per_class=2).load()
    assert list(zip(some["text"], some["label"], strict=True)) == [
        ("t0", "zero"),
        ("t1", "one"),
        ("t3", "zero"),
        ("t4", "one"),
    ]
    with pytest.raises(DatasetError, match=r"without a class: '2' \(3 rows\)"):
        TextTableDataset(**options).load()


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("a,b\n1,2\n", {}, "no column 'text'; it has a, b"),
        ("text,label\n", {}, "no row to read"),
        (None, {}, "does not exist"),
        ('text,label\n"a,b\n1,2', {}, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_told(
    tmp_path: Path, content: str | None, options: dict[str, Any], words: str
) -> None:
    path = tmp_path / "texts.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DatasetError, match=words) as raised:
        TextTableDataset(filepath=str(path), **options).load()
    assert str(path) in str(raised.value)


def test_the_fingerprint_follows_content_and_options(tmp_path: Path) -> None:
    path = table(tmp_path, ".csv")
    one = TextTableDataset(filepath=str(path)).fingerprint()
    assert TextTableDataset(filepath=str(path), most_per_class=3).fingerprint() != one
    path.touch()
    assert TextTableDataset(filepath=str(path)).fingerprint() == one
    path.write_text(path.read_text() + "more,x\n")
    assert TextTableDataset(filepath=str(path)).fingerprint() != one


def test_a_folder_of_files(tmp_path: Path) -> None:
    for name, text in (("b/1.txt", "one"), ("a/x/2.txt", "  zwei ä\n"), ("a/3.md", "no")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "a" / "damaged.txt").write_bytes(b"\xff\xfe\xfa")
    (tmp_path / "a" / "empty.txt").write_text(" \n")
    loaded = TextFolderDataset(filepath=str(tmp_path)).load()
    assert loaded["path"].tolist() == ["a/damaged.txt", "a/empty.txt", "a/x/2.txt", "b/1.txt"]
    assert loaded["text"].fillna("-").tolist() == ["-", "-", "zwei ä", "one"]
    assert loaded["label"].tolist() == ["a", "a", "a", "b"]


def test_a_folder_without_texts_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        TextFolderDataset(filepath=str(tmp_path / "none")).load()
    (tmp_path / "loose.txt").write_text("x")
    with pytest.raises(DatasetError, match="one sub-folder per class"):
        TextFolderDataset(filepath=str(tmp_path)).load()
    assert len(TextFolderDataset(filepath=str(tmp_path), labelled=False).load()) == 1
