import re

import pandas as pd
import pytest

from headstart.pipelines.evaluation.model_card import (
    markdown,
    per_class_scores,
    render_model_card,
)

COMMAND = "kedro run --pipelines prediction --params prediction.target=faces"


def card(experiment, target, **more):
    return render_model_card(
        experiment.recommendations[target],
        experiment.leaderboard,
        experiment.summaries[target],
        experiment.environment,
        command=COMMAND,
        **more,
    )


def test_the_sections_of_a_model_card_are_there(experiment):
    text = card(experiment, "faces")
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == [
        "Model details",
        "Intended use",
        "How to predict",
        "Data and license",
        "Metrics",
        "Limitations",
        "Cost",
    ]
    assert COMMAND in text
    assert "No license was stated" in text
    assert "torch | 2.15.0" in text


def test_every_metric_has_its_interval(experiment):
    text = card(experiment, "solar_cells")
    answer = experiment.recommendations["solar_cells"]
    line = next(line for line in text.splitlines() if line.startswith("| Accuracy"))
    for value in (answer["test_mean"], answer["test_low"], answer["test_high"]):
        assert f"{value:.3f}" in line
    assert text.count("(lower is better)") == 2


def test_tables_have_as_many_cells_in_every_row(experiment):
    names = ["de|fective", "sound"]
    model = {"classes": names, "n_train": 700, "test": {"accuracy": 0.9}}
    answer = experiment.recommendations["solar_cells"]
    per_class = per_class_scores(experiment.predictions, answer, names)
    text = card(experiment, "solar_cells", model=model, per_class=per_class)
    tables = re.findall(r"(?:^\|.*\|$\n?)+", text, flags=re.MULTILINE)
    assert len(tables) == 5
    for table in tables:
        cells = {len(re.split(r"(?<!\\)\|", row)) for row in table.strip().splitlines()}
        assert len(cells) == 1, table
    assert "700 images for training and validation" in text
    assert "| Accuracy | 0.900 |" in text


def test_scores_by_class_are_those_of_scikit_learn(experiment):
    from sklearn.metrics import precision_score, recall_score

    answer = experiment.recommendations["faces"]
    names = sorted(experiment.splits["faces"]["label"].unique())
    table = per_class_scores(experiment.predictions, answer, names).set_index("label")
    rows = experiment.predictions[
        (experiment.predictions["target"] == "faces")
        & (experiment.predictions["representation"] == answer["representation"])
        & (experiment.predictions["method"] == answer["method"])
        & experiment.predictions["shots"].isna()
    ]
    expected = pd.DataFrame(
        {
            "recall": recall_score(rows["label"], rows["predicted"], average=None),
            "precision": precision_score(rows["label"], rows["predicted"], average=None),
        },
        index=names,
    )
    assert table.loc[names, "recall"].tolist() == pytest.approx(expected["recall"].tolist())
    assert table.loc[names, "precision"].tolist() == pytest.approx(expected["precision"].tolist())
    assert table["recall"].is_monotonic_increasing
    text = card(experiment, "faces", per_class=table.reset_index())
    assert f"weakest on {table.index[0]}" in text


def test_names_are_shown_as_they_are():
    assert markdown("a|b*c_d<e>\n`f`") == r"a\|b\*c\_d\<e\> \`f\`"


def test_the_license_is_quoted(experiment):
    text = card(experiment, "faces", license_note="Images: CC BY-NC-SA 4.0.")
    assert "Images: CC BY-NC-SA 4.0." in text
    assert "No license was stated" not in text


def test_one_seed_has_no_intervals(build):
    one = build({"t": ["a", "b"]}, {"t": [None]}, {"t": 20}, seeds=1, trained_seeds=1)
    text = card(one, "t")
    assert "nan" not in text
    assert re.search(r"^\| Accuracy \| [01]\.\d+ \| – \|", text, flags=re.MULTILINE)


def test_the_network_that_the_gain_is_over_is_named(experiment):
    answer = experiment.recommendations["faces"]
    assert answer["baseline"] == "imagenet_untrained"
    text = card(experiment, "faces")
    assert "The gain is over the network of imagenet trained from scratch" in text
    assert answer["best_scratch"]["representation"] == "random"
    best = f"{answer['best_scratch']['mean']:.3f}, against {answer['baseline_mean']:.3f}"
    assert f"The best of all networks from scratch is the pretext network: accuracy {best}." in text
