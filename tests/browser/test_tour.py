"""The tour leaves out no page: a route that answers a GET is on it, or is named with what it is instead."""

import pytest

from tests.browser import tour
from tests.config.routes import address

pytestmark = pytest.mark.django_db


def test_every_route_with_a_page_is_on_the_tour(admin_client):
    told = {name.partition("-")[0] for name in tour.ROWS}
    missing = [
        name
        for name, route in tour.routes().items()
        if route.pattern.converters
        and name not in told | set(tour.NOT_PAGES)
        and admin_client.get(address(name, route)).status_code != 405
    ]
    assert missing == []


def test_the_tour_names_no_route_that_is_gone():
    known = set(tour.routes())
    assert sorted({name.partition("-")[0] for name in tour.ROWS} - known) == []
    assert sorted(set(tour.NOT_PAGES) - known) == []
