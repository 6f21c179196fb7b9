import pytest

from headstart.pipelines.evaluation import figure_style


def test_an_unknown_representation_gets_the_same_color_every_time():
    assert (
        figure_style.color("my_own") == figure_style.color("my_own") in figure_style.COLORS.values()
    )
    assert figure_style.dash("my_own") == figure_style.dash("my_own")
    assert figure_style.marker("my_own") == figure_style.marker("my_own")


@pytest.mark.parametrize("page", ["#ffffff", "#14171c"])
def test_colors_stand_out_from_a_light_and_a_dark_page(page):
    # WCAG 2.1, success criterion 1.4.11: 3:1 for graphics.
    def luminance(color):
        channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for color in figure_style.COLORS.values():
        dark, light = sorted([luminance(color), luminance(page)])
        assert (light + 0.05) / (dark + 0.05) >= 3, color


def test_forty_classes_are_forty_pairs_of_color_and_marker():
    assert len({figure_style.class_style(i) for i in range(50)}) == 50


def test_no_two_representations_share_a_color():
    assert len(set(figure_style.COLORS.values())) == len(figure_style.COLORS)
