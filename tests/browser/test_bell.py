"""The bell of an open page: a notice that comes and one that is read elsewhere change its number."""

import json

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ask

pytestmark = pytest.mark.browser
MINUTE = 61_000
SEND = """
from accounts.models import Notice, User
Notice.objects.create(person=User.objects.get(username="{name}"), kind="job_failed", about="{about}")
"""
FORGET = "from accounts.models import Notice; Notice.objects.all().delete()"
HIDDEN = """
let hidden = false;
Object.defineProperty(document, "hidden", { get: () => hidden });
window.hide = (now) => { hidden = now; document.dispatchEvent(new Event("visibilitychange")); };
"""


@pytest.fixture(scope="module")
def site(talking_site):
    return talking_site


@pytest.fixture
def notice(site):
    def send(name, about):
        site.manage("shell", "-c", SEND.format(name=name, about=about))

    yield send
    site.manage("shell", "-c", FORGET)


def bell(page):
    return page.locator(".bell .count")


def test_a_page_looks_every_minute_but_not_while_nobody_sees_it(visit, site, notice):
    page = visit(site, "wren").page
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/notices/bell/" in request.url else None)
    page.add_init_script(HIDDEN)
    page.clock.install()
    page.goto(site.url + "/rules/")
    expect(bell(page)).to_have_count(0)
    notice("wren", "job:1")
    page.clock.fast_forward(MINUTE)
    expect(bell(page)).to_have_text("1")
    expect(page.get_by_role("link", name="Notices: 1 unread")).to_be_visible()
    page.evaluate("hide(true)")
    before = len(asked)
    notice("wren", "job:2")
    page.clock.fast_forward(10 * MINUTE)
    assert len(asked) == before
    page.evaluate("hide(false)")
    expect(bell(page)).to_have_text("2")


def test_what_is_read_in_one_tab_is_read_in_the_other(visit, site, notice):
    visitor = visit(site, "wren")
    notice("wren", "job:1")
    visitor.go("/rules/")
    expect(bell(visitor.page)).to_have_text("1")
    other = visitor.context.new_page()
    other.goto(site.url + "/notices/")
    other.get_by_role("button", name="Mark all as read").click()
    expect(bell(other)).to_have_count(0)
    expect(bell(visitor.page)).to_have_count(0)


def test_a_chat_is_told_by_its_socket_and_looks_by_itself_where_that_is_lost(visit, site, notice):
    page = visit(site, "wren").page
    page.goto(site.url + "/")
    ask(page, "Is there news?")
    sockets, heard, asked, is_away = [], [], [], False

    def relay(socket):
        if is_away:
            return socket.close()
        sockets.append(socket)
        server = socket.connect_to_server()
        return server.on_message(lambda text: (heard.append(json.loads(text)["type"]), socket.send(text)))

    page.route_web_socket("**/ws/chat/**", relay)
    page.on("request", lambda request: asked.append(request.url) if "/notices/bell/" in request.url else None)
    page.clock.install()
    with page.expect_response("**/path/"):  # it catches up once the socket is open
        page.reload()
    notice("wren", "job:1")
    for pongs in (1, 2, 3):
        page.clock.fast_forward(MINUTE / 3)
        while heard.count("pong") < pongs:  # else the line looks dead
            page.wait_for_timeout(20)
    sockets[-1].send(json.dumps({"type": "notices.unread", "count": 0}))
    assert asked == []
    sockets[-1].send(json.dumps({"type": "notices.unread", "count": 1}))
    expect(bell(page)).to_have_text("1")
    is_away = True
    sockets[-1].close()
    expect(page.locator("#connection")).to_be_visible()
    notice("wren", "job:2")
    page.clock.fast_forward(MINUTE)
    expect(bell(page)).to_have_text("2")
