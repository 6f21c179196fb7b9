"""Nodes of the ingestion stage."""

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from headstart.errors import HeadstartError
from headstart.learning.configuration import ComputeParameters
from headstart.learning.images import ImageChunk, ImageStore, RawImages, decode_images
from headstart.learning.splits import draw, screen, split, without
from headstart.pipelines.ingestion.parameters import DrawParameters, IngestionParameters

# One row each for testing, training and choosing hyper-parameters.
MIN_PER_CLASS = 3


def decode_target(
    target: str, raw: RawImages, parameters: IngestionParameters, compute: ComputeParameters
) -> Iterator[ImageChunk]:
    """The target's images, decoded once.

    Raises:
        HeadstartError: the labels name fewer than two classes.
    """
    refuse_one_class(target, raw.frame["label"].dropna().unique())
    return _decode(raw, parameters, compute, f"{target}: decode target")


def decode_source(
    source: str, raw: RawImages, parameters: IngestionParameters, compute: ComputeParameters
) -> Iterator[ImageChunk]:
    """The source's images, decoded once."""
    return _decode(raw, parameters, compute, f"{source}: decode source")


def screen_images(
    target: str, images: ImageStore, *sources: ImageStore
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Set aside what cannot be used, and say why.

    Args:
        target: name of the target.
        images: the target's images.
        sources: the source's images, where there is a source.

    Returns:
        The target's good rows (row, path, label, digest); what was set aside (target, role,
        path, reason); and counts.
    """
    rows, unusable, duplicates = screen(images.index, MIN_PER_CLASS)
    aside = [images.rejected.assign(role="target"), unusable.assign(role="target")]
    aside += [source.rejected.assign(role="source") for source in sources]
    quarantine = pd.concat(aside, ignore_index=True).assign(target=target)
    counts = {
        "target": target,
        "read": {
            "target": len(images.index) + len(images.rejected),
            "source": sum(len(s.index) + len(s.rejected) for s in sources),
        },
        "set_aside": {
            role: int((quarantine["role"] == role).sum()) for role in ("target", "source")
        },
        "duplicates_removed": {"within_target": duplicates},
    }
    return rows, quarantine[["target", "role", "path", "reason"]].astype("str"), counts


def screen_source(source: str, images: ImageStore) -> pd.DataFrame:
    """What was set aside of a source that is no target's own."""
    aside = images.rejected.assign(target=source, role="source")
    return aside[["target", "role", "path", "reason"]].astype("str")


def choose_source_rows(
    source: str,
    images: ImageStore,
    quarantine: pd.DataFrame,
    parameters: IngestionParameters,
    *targets: pd.DataFrame,
) -> pd.DataFrame:
    """The images to learn from of a source that is no target's own.

    Args:
        source: its name.
        images: its images.
        quarantine: what was set aside, of all targets and sources.
        parameters: largest share that may be.
        targets: the good rows of each target; images that are equal to one of these are left out.

    Returns:
        Column row.

    Raises:
        HeadstartError: too much was set aside.
    """
    read = {"read": {"source": len(images.index) + len(images.rejected)}}
    refuse_bad(source, quarantine, read, parameters.max_bad_share)
    kept = without(images.index, {digest for table in targets for digest in table["digest"]})
    return pd.DataFrame({"row": kept})


def join_quarantine(*tables: pd.DataFrame) -> pd.DataFrame:
    """What was set aside, of all targets and sources."""
    return pd.concat(tables, ignore_index=True)


def split_target(
    target: str,
    rows: pd.DataFrame,
    quarantine: pd.DataFrame,
    counts: dict[str, Any],
    parameters: IngestionParameters,
    *sources: ImageStore,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Set the test images apart, and take them out of the source.

    Args:
        target: name of the target.
        rows: its good rows.
        quarantine: what was set aside, of all targets (on disk before this node can stop the
            run).
        counts: of images read and set aside.
        parameters: shares and seed.
        sources: the source's images; without any, the development images are the source.

    Returns:
        The splits; the rows of the source to learn from; and the counts, completed.

    Raises:
        HeadstartError: too much was set aside, or fewer than two classes are left.
    """
    refuse_bad(target, quarantine, counts, parameters.max_bad_share)
    refuse_one_class(target, rows["label"].unique())
    splits = split(rows, parameters.test_share, parameters.split_seed)
    splits.insert(0, "target", pd.Series([target] * len(splits), dtype="str"))
    test = set(splits.loc[splits["split"] == "test", "digest"])
    leaked = 0
    if sources:
        kept = without(sources[0].index, test)
        leaked = len(sources[0].index) - len(kept)
    else:
        kept = splits.loc[splits["split"] == "development", "row"].to_numpy()
    summary = {
        **counts,
        "duplicates_removed": {**counts["duplicates_removed"], "test_from_source": leaked},
        "classes": {str(k): int(n) for k, n in splits["label"].value_counts(sort=False).items()},
        "splits": {str(k): int(n) for k, n in splits["split"].value_counts().items()},
        "source": len(kept),
    }
    return splits.drop(columns="digest"), pd.DataFrame({"row": kept}), summary


def draw_labels(target: str, splits: pd.DataFrame, parameters: DrawParameters) -> pd.DataFrame:
    """Draw the labels that each fit may see."""
    return draw(splits, parameters.of(target), parameters.seeds, parameters.validation_share)


def _decode(
    raw: RawImages, parameters: IngestionParameters, compute: ComputeParameters, description: str
) -> Iterator[ImageChunk]:
    return decode_images(
        raw,
        size=parameters.image_size,
        resize=parameters.resize,
        compute=compute,
        chunk_size=parameters.chunk_size,
        description=description,
    )


def refuse_one_class(target: str, labels: Iterable[str], what: str = "images") -> None:
    """Raise where there is nothing to tell apart.

    Args:
        target: name of the target.
        labels: the classes that were found.
        what: the target consists of.

    Raises:
        HeadstartError: there are fewer than two classes.
    """
    classes = sorted(labels)
    if len(classes) < 2:
        found = f"one class only, '{classes[0]}'," if classes else "no class"
        raise HeadstartError(
            f"{target}: {found} was found; there is nothing to tell apart. Give at least two "
            f"classes of at least {MIN_PER_CLASS} {what} that can be read: one sub-folder each "
            "or, in a table, one label each."
        )


def refuse_bad(
    target: str,
    quarantine: pd.DataFrame,
    counts: dict[str, Any],
    max_bad_share: float,
    parameter: str = "ingestion.max_bad_share",
) -> None:
    """Raise where more was set aside than may be.

    Args:
        target: name of the target or source.
        quarantine: what was set aside, of all of them.
        counts: `read`: role -> how many were read.
        max_bad_share: largest share of these that may be set aside.
        parameter: where that share was said.

    Raises:
        HeadstartError: more were.
    """
    for role, read in counts["read"].items():
        bad = quarantine[(quarantine["target"] == target) & (quarantine["role"] == role)]
        if read and len(bad) / read > max_bad_share:
            examples = "; ".join(f"{b.path}: {b.reason}" for b in bad.head(3).itertuples())
            raise HeadstartError(
                f"{target}: {len(bad)} of {read} {role} examples ({len(bad) / read:.0%}) cannot be "
                f"used, more than {parameter} = {max_bad_share:.0%} allows. The first: "
                f"{examples}. All stand in 08_reporting/quarantine.parquet; mend or remove them, "
                "or raise the share."
            )
