"""A chatter and their conversations: found, renamed, pinned, archived, deleted and back, shared, saved, read in."""

import json
import re
import time

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import write

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(talking_site):
    return talking_site


@pytest.fixture
def page(visit, site):
    page = visit(site, "wren").page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    return page


def talk(page, site, text):
    """A new conversation with one message, whose reply has come; its address."""
    page.goto(site.url + "/")
    page.fill("#text", text)
    page.press("#text", "Enter")
    expect(page.locator("article.assistant >> nth=-1")).to_have_attribute("data-state", "complete")
    page.wait_for_url(re.compile(r"/c/[0-9a-f-]+/$"))
    expect(line(page, text)).to_be_visible()
    return page.url


def line(page, title):
    return page.locator("#list [data-item]", has_text=title).first


def open_menu(page, title):
    item = line(page, title)
    item.hover()
    item.locator("summary").click()
    return item


def choose(page, title, verb):
    open_menu(page, title).get_by_role("button", name=verb, exact=True).click()


def test_a_word_of_a_message_finds_its_conversation_and_opens_it_there(page, site):
    talk(page, site, "딱따구리는 왜 나무를 쪼나요?")
    talk(page, site, "Something about rivers")
    page.fill("#search", "딱따구리")
    found = page.locator("#list .item-hit mark")
    expect(found).to_have_text("딱따구리")
    expect(page.locator("#list [data-item]")).to_have_count(1)
    page.click("#list [data-item] > a")
    expect(page.locator(".turn.found [data-text]")).to_contain_text("딱따구리")
    assert page.url.endswith("/"), "the address is that of the conversation"
    page.fill("#search", "no such word anywhere")
    expect(page.locator("#list")).to_contain_text("No title or message contains these words.")
    page.fill("#search", "")
    expect(line(page, "Something about rivers")).to_be_visible()


def test_a_message_on_another_path_is_opened_when_it_is_found(page, site):
    talk(page, site, "A question about otters")
    page.locator("article.assistant [data-regenerate]").locator("visible=true").click()
    expect(page.locator("article.assistant")).to_contain_text("2 / 2")
    expect(page.locator("article.assistant")).to_have_attribute("data-state", "complete")
    page.locator("article.user").hover()
    page.locator("article.user [data-edit]").click()
    editor = page.locator("article.user textarea, form.edit textarea, [data-editor] textarea").first
    editor.fill("A question about beavers")
    editor.press("Enter")
    expect(page.locator("article.user [data-text]")).to_have_text("A question about beavers")
    expect(page.locator("article.assistant >> nth=-1")).to_have_attribute("data-state", "complete")
    page.fill("#search", "otters")
    page.click("#list [data-item]:has(.item-hit) > a")
    expect(page.locator(".turn.found [data-text]")).to_have_text("A question about otters")


def test_a_title_is_changed_where_it_stands_and_escape_leaves_it(page, site):
    talk(page, site, "Rename me please")
    choose(page, "Rename me please", "Rename")
    field = page.locator("#list [data-rename]:not([hidden]) input[name=title]")
    expect(field).to_be_focused()
    field.fill("이름을 바꿈")
    field.press("Enter")
    expect(line(page, "이름을 바꿈")).to_be_visible()
    expect(page.locator("#title")).to_have_text("이름을 바꿈")
    expect(page).to_have_title(re.compile("이름을 바꿈"))
    page.locator("#conversation-menu summary").click()
    page.locator("#conversation-menu [data-start-rename]").click()
    expect(page.locator("#conversation-menu .menu-items")).to_be_hidden()
    page.keyboard.press("Escape")
    page.dblclick("#title")
    head = page.locator(".talk-head [data-rename] input[name=title]")
    expect(head).to_be_focused()
    head.fill("never kept")
    head.press("Escape")
    expect(page.locator("#title")).to_have_text("이름을 바꿈")
    page.reload()
    expect(page.locator("#title")).to_have_text("이름을 바꿈")


def test_pinned_stands_first_and_archived_out_of_the_way(page, site):
    talk(page, site, "To be pinned")
    talk(page, site, "To be archived")
    choose(page, "To be pinned", "Pin")
    expect(page.locator("#list h2").first).to_have_text("Pinned")
    expect(page.locator("#list [data-item]").first).to_contain_text("To be pinned")
    choose(page, "To be archived", "Archive")
    expect(page.locator("#toast")).to_contain_text("was archived")
    title, toast = (page.locator(name).bounding_box() for name in (".talk-head", "#toast"))
    assert toast["y"] > title["y"] + title["height"], "it covers no title"
    expect(page.locator("#list [data-item]", has_text="To be archived")).to_have_count(0)
    page.get_by_role("link", name="Archive", exact=True).click()
    expect(page.locator("#list [data-item]")).to_have_count(1)
    choose(page, "To be archived", "Unarchive")
    page.get_by_role("link", name="All conversations").click()
    expect(line(page, "To be archived")).to_be_visible()
    choose(page, "To be pinned", "Unpin")
    expect(page.locator("#list h2", has_text="Pinned")).to_have_count(0)


def test_a_menu_at_the_end_of_the_list_can_be_seen_as_a_whole(visit, site):
    page = visit(site, "wren", viewport={"width": 1280, "height": 640}).page
    talk(page, site, "Low in the list")
    last = page.locator("#list [data-item]").last
    last.locator("summary").click()
    expect(last.get_by_role("button", name="Delete", exact=True)).to_be_in_viewport()


def test_a_deleted_conversation_comes_back_by_undo(page, site):
    address = talk(page, site, "Deleted by mistake")
    talk(page, site, "Stays open")
    choose(page, "Deleted by mistake", "Delete")
    expect(page.locator("#list [data-item]", has_text="Deleted by mistake")).to_have_count(0)
    undo = page.locator("#toast [data-undo]")
    expect(undo).to_be_focused()
    undo.press("Enter")
    expect(line(page, "Deleted by mistake")).to_be_visible()
    page.goto(address)
    choose(page, "Deleted by mistake", "Delete")
    expect(page.locator(".notice.undo")).to_contain_text("was deleted")
    page.locator(".notice.undo button").click()
    expect(page).to_have_url(address)


def test_an_open_menu_is_not_replaced_by_a_list_that_comes_meanwhile(page, site):
    talk(page, site, "The older of two")
    talk(page, site, "The newer of two")
    held, is_open = [], []
    page.route("**/conversations/?*", lambda route: route.continue_() if is_open else held.append(route))
    page.fill("#search", "The older")
    menu = page.locator("#conversation-menu")
    menu.locator("summary").click()
    while not held:
        page.wait_for_timeout(20)
    is_open.append(True)  # the list may be asked for again, once the last reply is whole
    with page.expect_response("**/conversations/?*") as coming:
        for route in held:
            route.continue_()
    coming.value.finished()
    page.wait_for_timeout(300)
    expect(menu.locator("[data-share]")).to_be_visible()
    expect(page.locator("#list [data-item]").filter(has_text="The newer of two")).to_have_count(1)
    menu.locator("summary").click()
    expect(page.locator("#list [data-item]")).to_have_count(1)


def test_what_cannot_be_done_is_said_and_changes_nothing(visit, site):
    visitor = visit(site, "wren")
    page = visitor.page
    talk(page, site, "Stays as it is")
    page.route("**/pin/", lambda route: route.abort())
    choose(page, "Stays as it is", "Pin")
    expect(page.locator("#toast")).to_contain_text("Nothing was changed")
    expect(page.locator("#list h2", has_text="Pinned")).to_have_count(0)
    assert [wrong for wrong in visitor.wrong if "ERR_FAILED" not in wrong] == []
    visitor.wrong.clear()  # the browser's own word on the request that was cut off


def test_a_link_shows_the_conversation_to_a_stranger_until_it_is_revoked(page, site, visit):
    talk(page, site, "Shared with the world")
    page.locator("#conversation-menu summary").click()
    page.locator("#conversation-menu [data-share]").click()
    dialog = page.locator("#share")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Create a link").click()
    expect(dialog.locator(".link")).to_have_count(1)
    dialog.locator("[data-copy-link]").click()
    expect(dialog.locator("[data-copy-link]")).to_have_text("Copied")
    address = page.evaluate("navigator.clipboard.readText()")
    assert address == dialog.locator(".link-address").input_value()
    stranger = visit(site).page
    stranger.goto(address)
    expect(stranger.locator("article.user")).to_contain_text("Shared with the world")
    assert stranger.locator("main textarea, main form").count() == 0
    dialog.get_by_role("button", name="Revoke").click()
    expect(dialog.locator(".link")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert stranger.request.get(address).status == 404


def test_a_saved_conversation_can_be_read_in(page, site, tmp_path):
    talk(page, site, "Saved and read in")
    open_menu(page, "Saved and read in")
    with page.expect_download() as saving:
        line(page, "Saved and read in").get_by_role("link", name="Save as JSON").click()
    file = tmp_path / "c.json"
    saving.value.save_as(file)
    assert saving.value.suggested_filename == "Saved and read in.json"
    page.get_by_role("link", name="Import", exact=True).click()
    page.set_input_files("#file", file)
    page.locator("main form button.primary").click()
    expect(page.locator("article.user [data-text]")).to_have_text("Saved and read in")
    expect(page.locator("article.assistant")).to_contain_text("imported")
    write(page, "Go on from here")
    expect(page.locator("article.assistant >> nth=-1")).to_have_attribute("data-state", "complete")
    expect(page.locator("article.user")).to_have_count(2)


def test_a_file_that_is_no_conversation_is_refused_by_place(visit, site, tmp_path):
    visitor = visit(site, "wren")
    page, file = visitor.page, tmp_path / "c.json"
    line = {"id": 1, "parent": 99, "role": "user", "text": "x", "created_at": "2026-01-01T00:00:00+00:00"}
    saved = {"format": "chamsae.conversation", "version": 1, "title": "", "tip": None, "messages": [line]}
    saved["created_at"] = line["created_at"]
    file.write_text(json.dumps(saved))
    page.goto(site.url + "/conversations/import/")
    page.set_input_files("#file", file)
    page.locator("main form button.primary").click()
    expect(page.get_by_role("alert")).to_contain_text("messages[0].parent")
    assert [wrong for wrong in visitor.wrong if "400" not in wrong] == []
    visitor.wrong.clear()  # the browser's own word on an answer of 400


# --- keys -----------------------------------------------------------------------------------------------------------


def test_a_question_mark_shows_the_keys_but_not_while_one_writes(page, site):
    page.goto(site.url + "/")
    sheet = page.locator("#shortcuts")
    page.fill("#text", "")
    page.press("#text", "?")
    expect(sheet).to_be_hidden()
    expect(page.locator("#text")).to_have_value("?")
    page.press("#text", "Control+/")
    expect(sheet).to_be_visible()
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    page.locator("#log").focus()
    page.keyboard.press("?")
    expect(sheet).to_be_visible()
    page.keyboard.press("?")
    expect(sheet).to_be_hidden()
    page.locator("[data-shortcuts]").click()
    expect(sheet).to_be_visible()
    sheet.get_by_role("button", name="Close").click()
    expect(sheet).to_be_hidden()


def test_each_key_of_the_sheet_does_what_it_says(page, site):
    address = talk(page, site, "Keys of this page")
    page.locator("#log").focus()
    page.keyboard.press("Control+k")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.press("Shift+Escape")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.press("Control+Shift+C")
    reply = page.locator("article.assistant [data-text]").inner_text().strip()
    page.wait_for_function("async text => (await navigator.clipboard.readText()).trim() === text", arg=reply)
    page.keyboard.press("Control+Shift+S")
    expect(page.locator("#conversations")).to_be_hidden()
    page.reload()
    expect(page.locator("#conversations")).to_be_hidden()
    page.keyboard.press("Control+k")
    expect(page.locator("#search")).to_be_focused()
    page.locator("#log").focus()
    page.keyboard.press("F2")
    expect(page.locator(".talk-head [data-rename] input[name=title]")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Shift+O")
    page.wait_for_url(site.url + "/")
    page.goto(address, wait_until="networkidle")  # what it asks for at first would miss the conversation
    page.locator("#log").focus()
    page.keyboard.press("Control+Shift+Backspace")
    expect(page.locator(".notice.undo")).to_be_visible()


def ask_something(page, site):
    page.goto(site.url + "/")
    page.fill("#text", "Tell me something slowly")
    page.press("#text", "Enter")
    reply = page.locator("article.assistant >> nth=-1")
    expect(reply).to_have_attribute("data-state", "streaming")
    return reply


def test_escape_stops_a_reply(page, site):
    reply = ask_something(page, site)
    page.keyboard.press("Escape")
    expect(reply).to_have_attribute("data-state", "stopped")


def test_an_escape_that_closes_something_stops_no_reply(page, site):
    reply = ask_something(page, site)
    page.locator("[data-shortcuts]").click()
    page.keyboard.press("Escape")
    expect(page.locator("#shortcuts")).to_be_hidden()
    page.locator(".bar details.menu summary").click()
    page.keyboard.press("Escape")
    expect(page.locator(".bar details.menu")).not_to_have_attribute("open", "")
    expect(reply).to_have_attribute("data-state", "complete")


def test_the_list_opens_and_is_searched_on_a_phone(visit, site):
    page = visit(site, "wren", viewport={"width": 390, "height": 844}).page
    talk_address = site.url + "/"
    page.goto(talk_address)
    expect(page.locator("#conversations")).to_be_hidden()
    page.keyboard.press("Control+k")
    expect(page.locator("#search")).to_be_focused()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# --- one's own account ---------------------------------------------------------------------------------------------


def test_settings_are_found_and_the_data_is_a_zip(page, site):
    page.goto(site.url + "/")
    page.locator(".bar details.menu summary").click()
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Settings")
    page.get_by_role("button", name="Switch off").click()
    expect(page.get_by_text("Currently off.")).to_be_visible()
    page.get_by_role("button", name="Switch on").click()
    with page.expect_download() as saving:
        page.get_by_role("link", name="Download my data").click()
    assert re.fullmatch(r"chamsae-wren-\d{4}-\d\d-\d\d\.zip", saving.value.suggested_filename)
    page.get_by_role("button", name="한국어").last.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("설정")
    page.get_by_role("button", name="English").last.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Settings")


def test_who_leaves_can_come_back_and_open_tabs_are_told(visit, site):
    site.manage(
        "shell",
        "-c",
        "from accounts.models import User; User.objects.create_user('leaver', password='chamsae-demo')",
    )
    visitor = visit(site, "leaver")
    page, other = visitor.page, visitor.context.new_page()
    talk(other, site, "In another tab")
    page.goto(site.url + "/account/")
    page.locator("main").get_by_role("link", name="Delete my account").click()
    page.fill("input[name=password]", "chamsae-demo")
    page.locator("main form button.danger").click()
    expect(page).to_have_url(re.compile("/sign-in/"))
    expect(page.locator(".notices")).to_contain_text("will be deleted on")
    expect(other.locator("#connection")).to_contain_text("signed out", timeout=15_000)
    visitor.sign_in("leaver")
    keep = page.get_by_role("button", name="Keep my account")
    expect(keep).to_be_visible()
    keep.click()
    expect(page.locator(".notices")).to_contain_text("will not be deleted")
    expect(keep).to_have_count(0)
    page.goto(site.url + "/")
    expect(line(page, "In another tab")).to_be_visible()


def test_after_the_days_the_worker_forgets(visit, site):
    site.manage(
        "shell",
        "-c",
        "from accounts.models import User; from django.utils import timezone;"
        "User.objects.create_user('forgotten', password='chamsae-demo', deletion_due_at=timezone.now());"
        "from accounts.tasks import erase_due_accounts; erase_due_accounts.delay()",
    )
    deadline = time.monotonic() + 60
    asks = "from accounts.models import User; print(User.objects.filter(username='forgotten').count())"
    while site.manage("shell", "--verbosity", "0", "-c", asks).strip() != "0":
        assert time.monotonic() < deadline, site.logs()
        time.sleep(1)


def test_a_first_visit_begins_at_the_top_of_the_tour_which_is_put_away_for_good(visit, site):
    page = visit(site, "robin").page
    page.goto(site.url + "/")
    page.locator("#chat[data-ready]").wait_for()
    expect(page.locator(".tour #tour-title")).to_be_in_viewport()
    page.get_by_role("button", name="Got it").click()
    expect(page.locator("#welcome")).to_be_visible()
    expect(page.locator(".tour")).to_have_count(0)


def test_the_list_shows_what_is_being_written_until_it_has_ended(page, site):
    page.goto(site.url + "/")
    with site.silent_talker():
        write(page, "Written while one looks")
        expect(line(page, "Written while one looks").locator("[data-written]")).to_have_count(1)
    expect(page.locator("article.assistant >> nth=-1")).to_have_attribute("data-state", "complete")
    expect(line(page, "Written while one looks").locator("[data-written]")).to_have_count(0)


SITE_CHOICE = "from chat.models import SiteChoices as S; S.objects.update_or_create(defaults={'titles_by_model': %s})"
TITLED = (
    "from chat.models import Conversation as C;"
    "print(C.objects.filter(title=%r, titled_by='message').update(title=%r, titled_by=%r))"
)


def test_a_title_by_the_model_comes_to_the_open_page_but_not_under_the_hand_that_renames(page, site):
    def title(before, now, by):
        assert site.manage("shell", "-v", "0", "-c", TITLED % (before, now, by)).strip() == "1"
        expect(line(page, now)).to_be_visible(timeout=60_000)

    with site.silent_worker():
        site.manage("shell", "-c", SITE_CHOICE % True)
        try:
            talk(page, site, "Why do larks rise so early?")
            expect(line(page, "Why do larks rise")).to_have_attribute("data-untitled", "")
            title("Why do larks rise so early?", "Early larks", "message")
            expect(page.locator("#title")).to_have_text("Early larks")
            expect(page).to_have_title(re.compile("Early larks"))
            page.dblclick("#title")
            field = page.locator(".talk-head [data-rename] input[name=title]")
            field.fill("Of my own")
            title("Early larks", "Larks that rise early", "model")
        finally:
            site.manage("shell", "-c", SITE_CHOICE % False)
    expect(field).to_have_value("Of my own")
    field.press("Escape")
    expect(page.locator("#title")).to_have_text("Larks that rise early")


SPEAKS = "from chat.models import Policy; Policy.objects.update(languages=%r)"


def test_a_model_of_another_language_is_warned_of_until_the_reader_puts_it_away(visit, site):
    page = visit(site, "robin", locale="ko-KR").page
    warning = page.locator("#language-warning")
    try:
        site.manage("shell", "-c", SPEAKS % ["en"])
        talk(page, site, "참새는 무엇을 먹나요?")
        expect(warning).to_contain_text("영어")
        page.reload()
        expect(warning).to_contain_text("영어")
        warning.get_by_role("button", name="다시 보지 않기").click()
        expect(warning).to_be_hidden()
        expect(page.locator("#text")).to_be_focused()
        page.goto(site.url + "/")
        page.locator("#chat[data-ready]").wait_for()
        expect(warning).to_be_hidden()
        site.manage("shell", "-c", SPEAKS % ["de"])
        page.reload()
        expect(warning).to_contain_text("독일어")
    finally:
        site.manage("shell", "-c", SPEAKS % [])


def test_a_temporary_chat_leaves_nothing_in_the_list_or_the_browser_and_can_be_deleted(page, site):
    page.goto(site.url + "/")
    page.get_by_role("link", name="Temporary chat").click()
    expect(page.locator("#temporary")).to_be_visible()
    expect(page.locator("#consent")).to_be_hidden()
    write(page, "Between you and me")
    expect(page.locator("article.assistant >> nth=-1")).to_have_attribute("data-state", "complete")
    expect(page.locator("#title")).to_have_text("Temporary chat")
    expect(page.locator("[data-thumbs]").first).to_be_hidden()
    page.fill("#text", "A draft of a secret")
    assert "secret" not in page.evaluate("JSON.stringify(localStorage)")
    expect(page.locator("#list")).not_to_contain_text("Between you and me")
    page.reload()
    expect(page.locator("article.user")).to_contain_text("Between you and me")
    page.get_by_role("button", name="Delete now").click()
    page.wait_for_url(re.compile(r"/\?deleted="))
    expect(page.locator(".undo")).to_have_count(0)
