"""Nodes of the ingestion stage for families of few-shot tasks."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from headstart.learning.class_splits import class_table, refuse_few_classes, split_classes
from headstart.learning.configuration import ComputeParameters
from headstart.learning.images import ImageChunk, ImageStore, RawImages, decode_images
from headstart.learning.quarter_turns import with_quarter_turns
from headstart.learning.splits import screen
from headstart.pipelines.ingestion.nodes import refuse_bad, refuse_one_class
from headstart.pipelines.ingestion.parameters import FewShotIngestionParameters

ROLE = "few_shot"  # in the table of what was set aside


def decode_family(
    family: str, raw: RawImages, parameters: FewShotIngestionParameters, compute: ComputeParameters
) -> Iterator[ImageChunk]:
    """The family's images, decoded once.

    Raises:
        HeadstartError: the labels name fewer than two classes.
    """
    refuse_one_class(family, raw.frame["label"].dropna().unique())
    chunks = decode_images(
        replace(raw, mode="L") if parameters.gray else raw,
        size=parameters.image_size,
        resize=parameters.resize,
        compute=compute,
        chunk_size=parameters.chunk_size,
        description=f"{family}: decode",
        invert=family in parameters.dark_on_light,
    )
    return with_quarter_turns(chunks) if family in parameters.turned else chunks


def screen_family(
    family: str, images: ImageStore, parameters: FewShotIngestionParameters
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Set aside what cannot be used, and say why.

    Args:
        family: its name.
        images: its images.
        parameters: how many images a class needs.

    Returns:
        The good rows (row, path, label, digest); what was set aside (target, role, path, reason);
        and counts.
    """
    rows, unusable, duplicates = screen(images.index, parameters.min_examples)
    aside = pd.concat([images.rejected, unusable], ignore_index=True)
    quarantine = aside.assign(target=family, role=ROLE)
    counts = {
        "target": family,
        "read": {ROLE: len(images.index) + len(images.rejected)},
        "set_aside": {ROLE: len(quarantine)},
        "duplicates_removed": {"within_target": duplicates},
    }
    return rows, quarantine[["target", "role", "path", "reason"]].astype("str"), counts


def split_family(
    family: str,
    rows: pd.DataFrame,
    quarantine: pd.DataFrame,
    counts: dict[str, Any],
    parameters: FewShotIngestionParameters,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Split the classes.

    Args:
        family: its name.
        rows: its good rows.
        quarantine: what was set aside, of everything that was read (on disk before this node can
            stop the run).
        counts: of images read and set aside.
        parameters: shares and seed.

    Returns:
        The classes (class, label, group, split, examples); their images (row, path, label, class,
        split); and the counts, completed.

    Raises:
        HeadstartError: too much was set aside, or a split has too few classes.
    """
    refuse_bad(
        family, quarantine, counts, parameters.max_bad_share, "few_shot_ingestion.max_bad_share"
    )
    classes = class_table(
        rows["label"],
        turned=family in parameters.turned,
        whole_groups=family not in parameters.split_groups,
    )
    shares = {"meta_validation": parameters.validation_share, "meta_test": parameters.test_share}
    splits = split_classes(classes["unit"].tolist(), shares, parameters.split_seed)
    classes["split"] = pd.Series(splits, dtype="str")
    refuse_few_classes(family, classes, parameters.min_classes, "few_shot_ingestion")
    examples = rows.drop(columns="digest").merge(classes[["label", "class", "split"]], on="label")
    summary = {
        **counts,
        "classes": {str(k): int(n) for k, n in classes["split"].value_counts().items()},
        "examples": {str(k): int(n) for k, n in examples["split"].value_counts().items()},
        "groups": {
            str(split): sorted(part["group"].dropna().unique())
            for split, part in classes.groupby("split")
        },
    }
    return classes[["class", "label", "group", "split", "examples"]], examples, summary
