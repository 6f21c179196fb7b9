import pytest

from headstart.pipelines.evaluation import wording


@pytest.mark.parametrize(
    ("function", "value", "expected"),
    [
        (wording.seconds, 0.001, "< 0.01 s"),
        (wording.seconds, 0.456, "0.46 s"),
        (wording.seconds, 38.2, "38 s"),
        (wording.seconds, 125, "2.1 min"),
        (wording.seconds, 8000, "2.2 h"),
        (wording.count, 0, "0"),
        (wording.count, 9_999, "9,999"),
        (wording.count, 62_000, "62 k"),
        (wording.count, 3_400_000, "3.4 M"),
        (wording.size, 812_000_000, "812 MB"),
        (wording.size, 2_500_000_000, "2.5 GB"),
        (wording.size, None, "–"),
        (wording.score, float("nan"), "–"),
        (wording.score, -0.0204, "−0.020"),
        (wording.score, float("inf"), "∞"),
        (wording.score, -3.2e7, "−3.2e+07"),
        (wording.words, "glyphs.5_way", "glyphs, 5-way"),
        (wording.words, "solar_cells.v2", "solar cells.v2"),
        (wording.labels, None, "all labels"),
        (wording.labels, 1, "1 label per class"),
        (wording.listed, ["a", "b", "c"], "a, b and c"),
        (wording.listed, ["a"], "a"),
    ],
)
def test_numbers_are_written_for_people(function, value, expected):
    assert function(value) == expected


def test_what_shots_and_intervals_count_depends_on_the_track():
    assert wording.labels(1, "few_shot") == "1 shot"
    assert wording.labels(20, "tables") == "20 labeled rows per task"
    assert wording.labels_per("few_shot") == "shots"
    assert wording.draws(600, "few_shot") == "600 episodes"
    assert wording.draws(1, "images") == "1 seed"


def test_methods_that_share_a_network_are_named_without_it():
    assert wording.method_name("conv4", "maml") == "MAML"
    assert wording.method_name("conv4", "from_scratch") == "from scratch · Conv-4"
    assert wording.method_name("pixels", "nearest_centroid") == "pixels · nearest centroid"


def test_counts_become_one_level():
    summary = {
        "target": "faces",
        "read": {"target": 1500, "source": 0},
        "classes": {"a": 10, "b": 12},
        "source": 3,
    }
    assert wording.counts(summary) == {
        "read: target": "1,500",
        "read: source": "0",
        "classes": "2",
        "examples per class": "10 to 12",
        "source": "3",
    }
