"""An assistant is made, chosen, changed and shared; the meter says what of the context is used and what is unseen."""

import json
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import write
from tests.site import SCRIPT, SCRIPTED, running_site

pytestmark = pytest.mark.browser
LAST_REPLY = "article.assistant >> nth=-1"
SHARED = """
from accounts import demo
from accounts.models import User
from chat.models import Assistant
from feedback import seed
demo.create_accounts()
seed.load()
Assistant.objects.create(
    owner=User.objects.get(username="admin"), name="Tutor", description="Explains step by step.",
    system_prompt="Explain step by step.", is_shared=True,
)
"""
FORBIDDEN = """
from feedback.models import BlockedPhrase, Rule
BlockedPhrase.objects.get_or_create(rule=Rule.objects.filter(is_on=True).first(), phrase="zebra crossing")
"""
LATEST = """
import json
from chat.models import Reply
reply = Reply.objects.latest("pk")
print(json.dumps([reply.preamble, reply.parameters, reply.trimmed]))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    settings = {
        "CHAMSAE_MESSAGES_PER_MINUTE": "1000",
        "CHAMSAE_CONTEXT_TOKENS": "400",
        "CHAMSAE_MAX_COMPLETION_TOKENS": "60",
    }
    with running_site(tmp_path_factory.mktemp("site"), program=SCRIPTED + SHARED + FORBIDDEN, **settings) as site:
        yield site


@pytest.fixture
def chatter(visit, site):
    return visit(site, "chatter")


def say(page, text):
    replies = page.locator("article.assistant").count()
    write(page, text)
    expect(page.locator("article.assistant")).to_have_count(replies + 1)
    expect(page.locator(LAST_REPLY)).to_have_attribute("data-state", "complete")


def latest(site):
    return json.loads(site.manage("shell", "--verbosity", "0", "-c", LATEST).strip().splitlines()[-1])


def make(page, name, instructions, **sampling):
    page.goto("/assistants/new/")
    page.fill("[name=name]", name)
    page.fill("[name=system_prompt]", instructions)
    if sampling:
        page.locator("#sampling summary").click()
    for field, value in sampling.items():
        page.fill(f"[name={field}]", value)


def save(page):
    page.get_by_role("button", name="Save", exact=True).last.click()
    page.wait_for_url("**/assistants/")


def draft(page, text):
    """Writes, and waits until the meter shows what the server counted for just that; tokens by part."""

    def is_of_it(response):
        if not response.url.endswith("/context/"):
            return False
        return parse_qs(response.request.post_data, keep_blank_values=True)["text"] == [text]

    with page.expect_response(is_of_it) as counting:
        page.fill("#text", text)
        page.dispatch_event("#text", "input")
    for name, tokens in counting.value.json()["parts"].items():
        expect(page.locator(f"#meter [data-part={name}] dd")).to_have_text(f"{tokens:,}")
    rows = page.eval_on_selector_all(
        "#meter [data-part]", "all => all.map(it => [it.dataset.part, it.lastElementChild.textContent])"
    )
    return {name: int(text.replace(",", "")) for name, text in rows}


def test_an_assistant_made_with_examples_answers_in_a_chat(chatter, site):
    page = chatter.page
    make(page, "Poet", "Answer in rhymes.", temperature="0.3")
    for question, answer in (("What is rain?", "Small feet that run on every pane."), ("unwanted", "unwanted")):
        page.get_by_role("button", name="Add an example").click()
        page.locator("[name=example_user]").last.fill(question)
        page.locator("[name=example_assistant]").last.fill(answer)
    page.get_by_role("button", name="Remove this example").last.click()
    save(page)
    page.get_by_role("link", name="Start a chat with “Poet”").click()
    expect(page.locator("#assistant")).to_have_value(page.url.split("=")[1])
    say(page, "What is snow?")
    preamble, parameters, _trimmed = latest(site)
    assert preamble == [
        {"role": "system", "content": "Answer in rhymes."},
        {"role": "user", "content": "What is rain?"},
        {"role": "assistant", "content": "Small feet that run on every pane."},
    ]
    assert parameters["temperature"] == 0.3
    page.reload()
    expect(page.locator("#assistant option:checked")).to_have_text("Poet")


def test_enter_in_a_field_saves_and_adds_no_row(chatter):
    page = chatter.page
    make(page, "By Enter", "")
    page.press("[name=name]", "Enter")
    page.wait_for_url("**/assistants/")
    expect(page.get_by_role("heading", name="By Enter")).to_be_visible()


def test_another_assistant_is_chosen_in_the_head_and_counts_from_the_next_reply(chatter, site):
    page = chatter.page
    chatter.go("/")
    say(page, "First, nobody.")
    assert latest(site)[0] == []
    with page.expect_response("**/assistant/"):
        page.select_option("#assistant", label="Tutor")
    say(page, "Then the tutor.")
    assert latest(site)[0] == [{"role": "system", "content": "Explain step by step."}]
    page.reload()
    expect(page.locator("#assistant option:checked")).to_have_text("Tutor")


def test_one_among_the_assistants_of_an_empty_conversation_is_picked_and_put_away(chatter):
    page = chatter.page
    chatter.go("/")
    page.get_by_role("link", name="Tutor").click()
    expect(page.locator("[data-about-chosen]")).to_have_text("Explains step by step.")
    expect(page.locator("#assistant option:checked")).to_have_text("Tutor")
    assert draft(page, "Hello")["instructions"] > 0
    page.get_by_role("link", name="Tutor").click()
    expect(page.locator("#assistant")).to_have_value("")
    assert draft(page, "Hello you")["instructions"] == 0


def test_the_meter_follows_what_one_writes(chatter):
    page = chatter.page
    chatter.go("/")
    before = draft(page, "")
    after = draft(page, "A draft of some length, about sparrows and other small birds.")
    assert (before["draft"], before["reply"]) == (0, 60)
    assert after["draft"] > 10
    assert after["free"] == before["free"] - after["draft"]
    assert sum(after.values()) == 400


def test_the_meter_tells_its_numbers_to_a_click_to_the_keyboard_and_to_a_reader(chatter):
    page = chatter.page
    chatter.go("/")
    draft(page, "")
    button, numbers = page.locator(".meter-button"), page.locator(".meter-parts")
    expect(numbers).to_be_hidden()
    button.click()
    expect(numbers).to_be_visible()
    page.keyboard.press("Escape")
    page.mouse.move(10, 10)
    page.locator("#text").focus()
    expect(numbers).to_be_hidden()
    for _ in range(3):
        page.keyboard.press("Tab")
        if button.evaluate("it => it === document.activeElement"):
            break
    expect(button).to_be_focused()
    expect(numbers).to_be_visible()
    expect(button).to_have_accessible_name("Context: about 8 of 400 tokens")
    assert "Reserved for the reply" in button.evaluate(
        "it => document.getElementById(it.getAttribute('aria-describedby')).textContent"
    )


def test_what_will_not_be_seen_is_said_before_sending_and_what_was_not_seen_after(chatter, site):
    page = chatter.page
    chatter.go("/")
    for number in range(4):
        say(page, f"Message {number}: " + "many words about a river and a field " * 4)
    draft(page, "And now? " * 20)
    notice = page.locator("#unseen")
    expect(notice).to_contain_text("do not fit: the model will not see them")
    expected = int("".join(letter for letter in notice.inner_text() if letter.isdigit()))
    page.press("#text", "Enter")
    expect(page.locator("article.assistant")).to_have_count(5)
    expect(page.locator(LAST_REPLY)).to_have_attribute("data-state", "complete")
    expect(page.locator(LAST_REPLY).locator("[data-trimmed]")).to_be_visible()
    assert latest(site)[2] == expected > 0


def test_a_draft_without_room_is_said_while_it_is_written(chatter):
    page = chatter.page
    chatter.go("/")
    page.fill("#text", "too many words " * 120)
    expect(page.locator("#unseen")).to_contain_text("too long for this model")
    page.fill("#text", "few words")
    expect(page.locator("#unseen")).to_be_hidden()


def test_a_deleted_assistant_comes_back_and_a_conversation_says_when_its_own_is_gone(chatter):
    page = chatter.page
    make(page, "Fleeting", "Be brief.")
    save(page)
    page.get_by_role("link", name="Start a chat with “Fleeting”").click()
    say(page, "Hello")
    conversation = page.url
    chatter.go("/assistants/")
    page.get_by_role("button", name="Delete “Fleeting”").click()
    expect(page.get_by_text("“Fleeting” was deleted")).to_be_visible()
    undo = page.url
    page.goto(conversation)
    expect(page.locator("#lost-assistant")).to_contain_text("Fleeting")
    page.goto(undo)
    page.get_by_role("button", name="Undo").click()
    page.goto(conversation)
    expect(page.locator("#lost-assistant")).to_have_count(0)
    expect(page.locator("#assistant option:checked")).to_have_text("Fleeting")


def test_an_admin_shares_one_and_a_chatter_copies_it(visit, site, chatter):
    admin = visit(site, "admin")
    make(admin.page, "Cook", "Talk of food.")
    admin.page.check("[name=is_shared]")
    save(admin.page)
    chatter.go("/assistants/")
    page = chatter.page
    expect(page.get_by_role("button", name="Delete “Cook”")).to_have_count(0)
    page.get_by_role("button", name="Copy “Cook”").click()
    expect(page.locator("[name=name]")).to_have_value("Copy of Cook")
    expect(page.locator("[name=is_shared]")).to_have_count(0)


def test_an_admin_chooses_for_the_site_and_a_new_conversation_follows(visit, site, chatter):
    admin = visit(site, "admin")
    chatter.go("/account/consent/")
    if (agree := chatter.page.get_by_role("button", name="I agree")).is_visible():
        agree.click()
        expect(chatter.page.get_by_role("button", name="Withdraw consent")).to_be_visible()
    for label, is_on in (("On unless the person opts out", True), ("Off unless the person opts in", False)):
        admin.go("/site/")
        admin.page.get_by_label(label).check()
        admin.page.get_by_role("button", name="Save", exact=True).click()
        expect(admin.page.get_by_role("heading", name="Recent changes")).to_be_visible()
        chatter.go("/")
        assert chatter.page.locator("[name=may_train]").is_checked() == is_on


OWN = f"""
from accounts.models import User
from chat.models import Policy
owner = User.objects.get(username="chatter")
Policy.objects.get_or_create(
    name="ft-own",
    defaults=dict(version=900, is_scripted=True, source='{SCRIPT}', owner=owner, label="davinci:ft-own"),
)
"""
RETIRE = """
from django.utils import timezone
from chat.models import Policy
Policy.objects.filter(name="ft-own").update(retired_at=timezone.now())
"""


def test_a_model_of_ones_own_is_chosen_beneath_the_field_and_answers_until_it_is_gone(chatter, site):
    site.manage("shell", "--verbosity", "0", "-c", OWN)
    page = chatter.page
    chatter.go("/")
    page.select_option("#model", label="davinci:ft-own (yours)")
    say(page, "Who are you?")
    wrote = page.locator(LAST_REPLY).locator("[data-policy]")
    expect(wrote).to_have_text("davinci:ft-own · v900")
    page.reload()
    expect(page.locator("#model")).to_have_value("ft-own")
    with page.expect_response("**/model/"):
        page.select_option("#model", value="")
    say(page, "And who are you?")
    expect(wrote).to_have_text("scripted · v1")
    with page.expect_response("**/model/"):
        page.select_option("#model", value="ft-own")
    site.manage("shell", "--verbosity", "0", "-c", RETIRE)
    page.reload()
    expect(page.locator("#lost-model")).to_contain_text("davinci:ft-own")
    say(page, "Who is left?")
    expect(wrote).to_have_text("scripted · v1")


def test_a_first_message_that_may_not_be_sent_stays_where_it_was_written_and_makes_no_conversation(chatter):
    page = chatter.page
    chatter.go("/")
    page.fill("#text", "A zebra crossing at night")
    page.press("#text", "Enter")
    expect(page.locator("#problem")).to_contain_text("blocked by the rule")
    expect(page.locator("#text")).to_have_value("A zebra crossing at night")
    chatter.forgive("status of 400")
    page.reload()
    expect(page.get_by_role("link", name="zebra")).to_have_count(0)
