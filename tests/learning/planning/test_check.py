from __future__ import annotations

import re

import pytest

from headstart.errors import HeadstartError
from headstart.learning.planning.check import check_fits
from headstart.learning.planning.extrapolation import measure_cost
from headstart.learning.planning.parameters import PlannedMethod
from headstart.learning.planning.steps import Job

from .planned import IMAGES, WORDS

FULL = Job(IMAGES, PlannedMethod(kind="full"))


def peak(job: Job, batch: int) -> float:
    return sum(measure_cost(job, batch).peak(batch).values())


def test_what_fits_passes_with_its_predicted_peak():
    predicted = peak(FULL, 8)
    step = check_fits("training", FULL, 8, predicted + 1)
    assert sum(step.peak().values()) == predicted


def test_what_does_not_fit_is_refused_with_the_largest_batch_and_cheaper_methods():
    memory = peak(FULL, 32)
    with pytest.raises(HeadstartError, match=r"^fine_tuning\.mine: a step on 64 examples") as told:
        check_fits("fine_tuning.mine", FULL, 64, memory)
    largest = int(re.search(r"a batch of (\d+) would fit", str(told.value)).group(1))
    assert largest == 32
    assert "frozen" in str(told.value)
    assert "lora" not in str(told.value)  # adapters are for transformers


def test_adapters_are_advised_for_transformers():
    job = Job(WORDS, PlannedMethod(kind="full"))
    with pytest.raises(HeadstartError, match=r"at a batch of 4 so would .*lora \(") as told:
        check_fits("text", job, 4, 0.9 * peak(job, 4))
    assert "GB" in str(told.value)


def test_where_nothing_fits_it_says_so():
    with pytest.raises(HeadstartError, match=r"not even one example.*take a smaller model"):
        check_fits("training", FULL, 8, 1000)


def test_the_same_method_is_no_advice():
    job = Job(WORDS, PlannedMethod(kind="frozen"))
    with pytest.raises(HeadstartError) as told:
        check_fits("text", job, 64, 0.9 * peak(job, 64))
    assert "frozen (" not in str(told.value)


def test_trainings_side_by_side_share_the_memory():
    memory = 3 * peak(FULL, 16)
    check_fits("training", FULL, 16, memory, at_once=3)
    with pytest.raises(HeadstartError, match=r"for each of 4 at a time.*parallel_fits: 3, 3 at"):
        check_fits("training", FULL, 16, memory, at_once=4)


def test_what_could_be_done_instead_is_what_the_caller_says():
    memory = 0.9 * peak(FULL, 16)
    smaller = Job(IMAGES.model_copy(update={"image_size": 16}), PlannedMethod(kind="full"))
    with pytest.raises(HeadstartError, match=r"so would an image_size of 16 \(") as told:
        check_fits("training", FULL, 16, memory, cheaper={"an image_size of 16": smaller})
    assert "8-bit" not in str(told.value)
