import pytest

from headstart.pipelines.evaluation import figure_style, training_figures


def test_training_curves_show_losses_and_not_the_learning_rate(experiment):
    figure = training_figures.training_curves(experiment.histories, "faces")
    assert [a.text for a in figure.layout.annotations] == ["train loss", "validation loss"]
    assert len(figure.data) == 2 * 4 * 3  # panels, methods, seeds
    assert sum(t.showlegend is not False for t in figure.data) == 4
    one = training_figures.training_curves(experiment.histories, "faces", 1)
    assert list(one.data[0].y) != list(figure.data[0].y)


def test_pretext_curves_have_a_panel_a_task_and_held_out_beside_training(experiment):
    for quantity in ("loss", "score"):
        figure = training_figures.pretext_curves(experiment.pretext_histories, "faces", quantity)
        assert len(figure.data) == 4  # two tasks, held-out and training
        history = experiment.pretext_histories
        expected = history[
            (history["source"] == "faces")
            & (history["task"] == "rotation")
            & (history["name"] == f"heldout_{quantity}")
        ]
        line = next(t for t in figure.data if t.name == "held-out")
        assert list(line.x) == expected["step"].tolist()
        assert list(line.y) == pytest.approx(expected["value"].tolist())
        titles = [a.text for a in figure.layout.annotations]
        assert titles == ["rotation", "contrastive"]
    (one,) = {
        t.line.color
        for t in training_figures.pretext_curves(
            experiment.pretext_histories, "faces", tasks=["rotation"]
        ).data
    }
    assert one == figure_style.color("rotation")


def test_many_trained_methods_are_drawn_as_means_over_seeds(build):
    names = ["imagenet", "rotation", "jigsaw", "contrastive", "supervised"]
    methods = {(name, "fine_tune"): (0.2, 0.8, 0.0, 10) for name in names}
    many = build({"t": ["a", "b"]}, {"t": [None]}, {"t": 20}, methods)
    figure = training_figures.training_curves(many.histories, "t")
    assert len(figure.data) == 2 * len(names)  # panels, methods
    line = next(t for t in figure.data if t.legendgroup == "jigsaw/fine_tune")
    own = many.histories[
        (many.histories["representation"] == "jigsaw") & (many.histories["name"] == "train_loss")
    ]
    assert list(line.y) == pytest.approx(own.groupby("step")["value"].mean().tolist())
