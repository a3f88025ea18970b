"""Curves of a run: points where they belong, gaps where nothing was measured."""

from rlhf import charts


def test_a_curve_spans_its_plot_and_leaves_gaps():
    (chart,) = charts.charts([(1, {"kl": 0.0}), (2, {"kl": None}), (3, {"kl": 5.0}), (4, {"kl": 10.0})])
    assert chart.dots == [(54.0, 130.0)]  # the plot's heights are 8..130
    assert chart.lines == ["226.0,69.0 312.0,8.0"]
    assert chart.latest == 10.0
    assert [(tick.at, tick.label) for tick in chart.y_ticks] == [(130.0, "0"), (69.0, "5"), (8.0, "10")]


def test_a_constant_and_a_single_point_are_drawn_in_the_middle():
    constant, single = charts.chart("c", [(1, 2.0), (2, 2.0)]), charts.chart("s", [(7, 2.0)])
    assert constant.lines == ["54.0,69.0 312.0,69.0"]
    assert single.dots == [(54.0, 69.0)]


def test_long_runs_are_thinned_and_known_names_come_first():
    metrics = [(step, {"zeta": step, "objective/kl": step / 9}) for step in range(5000)]
    first, second = charts.charts(metrics)
    assert (first.name, second.name) == ("objective/kl", "zeta")
    assert len(first.lines[0].split()) == charts.MOST_POINTS
    assert len(first.rows) == charts.ROWS
    assert first.rows[-1][0] == 4999


def test_names_without_a_number_have_no_curve():
    assert charts.charts([(1, {"a": None, "b": float("nan"), "c": "text"})]) == []
