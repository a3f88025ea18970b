"""Curves of a run: points where they belong, gaps where nothing was measured, smoothing and scales as asked for."""

import math

import pytest

from rlhf.charts import line_charts
from rlhf.charts.curve_options import CurveOptions

LOG = CurveOptions(scale="log")


def test_a_curve_spans_its_plot_and_leaves_gaps():
    (chart,) = line_charts.charts([(1, {"kl": 0.0}), (2, {"kl": None}), (3, {"kl": 5.0}), (4, {"kl": 10.0})])
    (curve,) = chart.curves
    assert curve.dots == [(54.0, 130.0)]  # the plot's heights are 8..130
    assert curve.lines == ["226.0,69.0 312.0,8.0"]
    assert (curve.lowest, curve.highest, chart.latest) == (0.0, 10.0, 10.0)
    assert [(tick.at, tick.label) for tick in chart.y_ticks] == [(130.0, "0"), (69.0, "5"), (8.0, "10")]
    assert chart.rows == [(1, [0.0]), (3, [5.0]), (4, [10.0])]


def test_a_constant_and_a_single_point_are_drawn_in_the_middle():
    constant, single = line_charts.chart("c", [(1, 2.0), (2, 2.0)]), line_charts.chart("s", [(7, 2.0)])
    assert constant.curves[0].lines == ["54.0,69.0 312.0,69.0"]
    assert single.curves[0].dots == [(54.0, 69.0)]


def test_long_runs_are_thinned_and_known_names_come_first():
    metrics = [(step, {"zeta": step, "objective/kl": step / 9}) for step in range(5000)]
    first, second = line_charts.charts(metrics)
    assert (first.name, second.name) == ("objective/kl", "zeta")
    assert len(first.curves[0].lines[0].split()) == line_charts.MOST_POINTS
    assert len(first.rows) == line_charts.ROWS
    assert first.rows[-1][0] == 4999


def test_names_without_a_number_have_no_curve():
    assert line_charts.charts([(1, {"a": None, "b": float("nan"), "c": "text"})]) == []


def test_smoothing_is_the_average_of_what_came_before_weighted_by_its_age():
    values = [4.0, 1.0, 7.0]
    found = line_charts.smoothed(list(enumerate(values)), 0.6)
    for end, (_step, value) in enumerate(found):
        weights = [0.6 ** (end - index) for index in range(end + 1)]
        by_hand = sum(w * v for w, v in zip(weights, values, strict=False)) / sum(weights)
        assert value == pytest.approx(by_hand)
    assert line_charts.smoothed([(1, 2.0), (2, math.nan), (3, 2.0)], 0.9) == [(1, 2.0), (2, None), (3, 2.0)]


def test_a_smoothed_curve_keeps_what_was_measured_beside_it():
    series = [(1, 0.0), (2, 10.0), (3, 0.0)]
    plain, smooth = (line_charts.chart("kl", series, CurveOptions(name)).curves[0] for name in ("", "0.9"))
    assert plain.measured == []
    assert smooth.measured == plain.lines
    assert smooth.lines != plain.lines
    assert smooth.rows == plain.rows == series


def test_a_logarithmic_scale_puts_equal_ratios_at_equal_distances():
    chart = line_charts.chart("kl", [(1, 0.01), (2, 1.0), (3, 100.0)], LOG)
    assert chart.curves[0].lines == ["54.0,130.0 183.0,69.0 312.0,8.0"]
    assert [tick.label for tick in chart.y_ticks] == ["0.01", "0.1", "1", "10", "100"]
    near = line_charts.chart("kl", [(1, 3.0), (2, 6.0)], LOG)
    assert [tick.label for tick in near.y_ticks] == ["2", "5", "10"]
    assert [len(line_charts.chart("kl", [(1, value)], LOG).y_ticks) for value in (1.0, 10.0, 3.0, 5.0)] == [
        2,
        2,
        2,
        2,
    ]


def test_what_is_not_above_zero_has_no_logarithm_and_is_drawn_as_it_is():
    chart = line_charts.chart("margin", [(1, 0.0), (2, 1.0)], LOG)
    assert chart.refuses_log
    assert chart.curves == line_charts.chart("margin", [(1, 0.0), (2, 1.0)]).curves


def test_the_end_of_an_epoch_is_marked_and_is_no_curve():
    metrics = [(step, {"loss": 1.0 / step, "epoch": step / 4}) for step in range(1, 9)]
    (chart,) = line_charts.charts(metrics)
    assert chart.name == "loss"
    assert chart.marks == [round(54 + 3 / 7 * (312 - 54), 1)]  # step 4; where the second one ends, the plot ends


def test_two_runs_share_their_axes_and_their_table():
    (kl, only) = line_charts.overlaid(
        {"old": [(1, {"kl": 0.0}), (2, {"kl": 5.0})], "new": [(1, {"kl": 10.0, "x": 1.0}), (4, {"kl": 5.0})]}
    )
    assert [(curve.label, curve.lines) for curve in kl.curves] == [
        ("old", ["54.0,130.0 140.0,69.0"]),
        ("new", ["54.0,8.0 312.0,69.0"]),
    ]
    assert kl.rows == [(1, [0.0, 10.0]), (2, [5.0, None]), (4, [None, 5.0])]
    assert [curve.label for curve in only.curves] == ["new"]


def test_options_are_read_from_a_query_and_links_change_one_of_them():
    options = CurveOptions.read({"smooth": "0.6", "scale": "log", "a": "3", "evil": "1"}, "a", "b")
    assert (options.smoothing, options.is_log) == (0.6, True)
    assert [link.query for link in options.smoothing_links] == [
        "?a=3&scale=log",
        "?a=3&smooth=0.6&scale=log",
        "?a=3&smooth=0.9&scale=log",
    ]
    assert [link.is_current for link in options.scale_links] == [False, True]
    unknown = CurveOptions.read({"smooth": "2", "scale": "cubic"})
    assert (unknown.query, [link.query for link in unknown.scale_links]) == ("", ["?", "?scale=log"])
