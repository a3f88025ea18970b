"""Bars of a month: as high as their values say, one upon the other, and inside of the plot."""

from datetime import date, timedelta

import pytest

from metering.bill import Sums
from metering.charts import charts, shorten


def month(**by_day):
    first = date(2026, 11, 1)
    return [(first + timedelta(days=number), by_day.get(f"d{number + 1}", Sums())) for number in range(30)]


def test_bars_are_as_high_as_their_values():
    days = month(d3=Sums(requests=2, cost=100), d4=Sums(requests=8, cost=400))
    costs, _tokens, requests = charts(days)
    for chart in (costs, requests):
        small, large = chart.bars
        assert large.height == pytest.approx(4 * small.height, abs=0.05)
        assert large.y == chart.frame.top
        assert [bar.y + bar.height for bar in chart.bars] == pytest.approx([chart.frame.bottom] * 2)
    assert costs.total == "$0.0000005"
    assert requests.total == "10"


def test_parts_of_a_bar_stand_one_upon_the_other():
    _cost, tokens, _requests = charts(month(d30=Sums(1, prompt_tokens=10, completion_tokens=20, trained_tokens=30)))
    prompt, completion, trained = tokens.bars
    assert [bar.kind for bar in tokens.bars] == ["prompt", "completion", "trained"]
    assert completion.y + completion.height == pytest.approx(prompt.y, abs=0.05)
    assert trained.y + trained.height == pytest.approx(completion.y, abs=0.05)
    assert prompt.x == completion.x == trained.x
    assert prompt.x + prompt.width <= tokens.frame.right
    assert [kind for kind, _word in tokens.legend] == ["prompt", "completion", "trained"]


def test_ticks_tell_the_values_at_their_heights():
    _cost, _tokens, requests = charts(month(d1=Sums(requests=7)))
    assert [tick.label for tick in requests.y_ticks] == ["0", "2", "4", "6", "8"]
    assert [tick.label for tick in requests.x_ticks] == ["1", "8", "15", "22", "29"]


def test_an_empty_month_has_no_bar_and_a_dollar_for_its_axis():
    costs, _tokens, _requests = charts(month())
    assert [chart.bars for chart in charts(month())] == [[], [], []]
    assert [tick.label for tick in costs.y_ticks] == ["$0.00", "$0.50", "$1.00"]


def test_labels_of_the_smallest_costs_fit_beside_the_axis():
    costs, _tokens, _requests = charts(month(d1=Sums(requests=1, cost=7)))
    assert [tick.label for tick in costs.y_ticks] == ["$0.00", "$2e-9", "$4e-9", "$6e-9", "$8e-9"]


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("999,999", "999,999"),
        ("12,345,678", "12M"),
        ("1,234,567,890", "1,234M"),
        ("$0.72", "$0.72"),
        ("$0.000012345", "$0.000012"),
        ("$0.00000005", "$5e-8"),
        ("$1,234.567891", "$1,234"),
    ],
)
def test_labels_are_short(text, short):
    assert shorten(text) == short
