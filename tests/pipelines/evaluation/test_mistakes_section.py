import pandas as pd

from headstart.pipelines.evaluation import mistakes_section


def test_the_worst_mistake_is_wrong_with_confidence_in_every_seed():
    said = [
        # seed, row, label, predicted, confidence
        (0, 7, 0, 1, 0.9),
        (1, 7, 0, 1, 0.7),
        (0, 8, 0, 2, 0.99),
        (1, 8, 0, 0, 0.8),
        (0, 9, 1, 1, 1.0),
        (1, 9, 1, 1, 1.0),
    ]
    predictions = pd.DataFrame(said, columns=["seed", "row", "label", "predicted", "confidence"])
    predictions = predictions.assign(representation="imagenet", method="fine_tune")
    worst = mistakes_section.worst_mistakes(predictions, "imagenet", "fine_tune", 12)
    assert worst.to_dict("records") == [
        {"row": 7, "label": 0, "predicted": 1, "confidence": 0.8, "wrong": 2, "seeds": 2},
        {"row": 8, "label": 0, "predicted": 2, "confidence": 0.99, "wrong": 1, "seeds": 2},
    ]
    assert len(mistakes_section.worst_mistakes(predictions, "imagenet", "fine_tune", 1)) == 1
    assert mistakes_section.worst_mistakes(predictions, "pca", "linear_probe", 12).empty
