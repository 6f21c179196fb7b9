import pandas as pd

from headstart.pipelines.evaluation import map_figure


def test_few_classes_have_a_legend_and_many_a_name_for_each_point(experiment):
    few = map_figure.representation_map(experiment.maps, "solar_cells")
    assert {t.name for t in few.data if t.showlegend} == {"defective", "sound"}
    many = map_figure.representation_map(experiment.maps, "faces", ["imagenet"])
    (points,) = many.data
    assert len(points.customdata) == len(points.hovertext) == len(points.x) == 400


def test_class_names_are_text_not_markup():
    maps = pd.DataFrame(
        {
            "target": "t",
            "representation": "pixels",
            "row": [0, 1],
            "label": ["<b>bold</b>", "<script>"],
            "split": "test",
            "x": [0.0, 1.0],
            "y": [0.0, 1.0],
        }
    )
    figure = map_figure.representation_map(maps, "t")
    assert figure.data[0].name == "&lt;b&gt;bold&lt;/b&gt;"
    assert figure.data[1].hovertext == ("&lt;script&gt;",)
