import pandas as pd

from headstart.pipelines.evaluation import training_section


def history(seed, values, name="validation_loss"):
    return pd.DataFrame(
        {
            "representation": "imagenet",
            "method": "fine_tune",
            "shots": pd.array([None] * len(values), dtype="Int64"),
            "seed": seed,
            "step": range(len(values)),
            "name": name,
            "value": values,
        }
    )


def test_a_training_still_improves_when_its_last_point_is_its_first_best():
    losses = pd.concat(
        [history(0, [3, 2, 1]), history(1, [3, 1, 2]), history(2, [3, 1, 1]), history(3, [1])]
    )
    assert training_section.still_improving(losses)[
        ["trainings", "improving"]
    ].to_numpy().tolist() == [[4, 1]]
    accuracy = history(0, [0.1, 0.2, 0.3], "validation_accuracy")
    assert training_section.still_improving(accuracy)["improving"].tolist() == [1]
    assert training_section.still_improving(history(0, [1.0], "train_loss")).empty
