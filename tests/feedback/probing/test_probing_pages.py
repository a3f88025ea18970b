"""The pages of whoever probes and of whoever judges: what they take, what they refuse, and what they keep to
themselves."""

import re

import pytest

from accounts.roles import Role
from chat.models import Message
from feedback.judgements import task_queue
from feedback.models import Probe, Ranking, Violation
from feedback.probing import talking
from tests.feedback.probing.probes import answer, hand_over, make_policy, order
from tests.people import make_person


@pytest.fixture(autouse=True)
def no_twins(settings, rules_alone):
    settings.FEEDBACK_PROBE_TWIN_SHARE = 0.0


def test_a_probe_is_taken_said_something_in_and_handed_over(policy, annotator, signed_in):
    client = signed_in(annotator)
    assert "An admin orders them" in client.get("/probing/").content.decode()
    order([policy])
    assert "1 probe waits" in client.get("/probing/").content.decode()
    page = client.post("/probing/take/", follow=True)
    probe = Probe.objects.get()
    assert page.redirect_chain[-1][0] == f"/probing/{probe.pk}/"
    text = page.content.decode()
    assert "No body" in text
    assert "scripted" not in text  # which policy it is
    client.post(f"/probing/{probe.pk}/say/", {"text": "Do you eat?", "key": "k"})
    assert Message.objects.get(role="user").text == "Do you eat?"
    talking.start_over(probe.pk, annotator)
    probe.refresh_from_db()
    answer(probe, "Do you eat?", "Yes.")
    refused = client.post(f"/probing/{probe.pk}/hand-over/", {})
    assert refused.status_code == 400
    assert "how you see the last reply" in refused.content.decode()
    done = client.post(f"/probing/{probe.pk}/hand-over/", {"grade": "-1"}, follow=True)
    assert "waits for its judgement" in done.content.decode()


def test_an_error_of_the_chat_stands_beside_the_words_that_were_not_sent(policy, annotator, signed_in, settings):
    settings.CHAT_MESSAGES_PER_MINUTE = 0
    order([policy])
    probe = talking.take(annotator)
    page = signed_in(annotator).post(f"/probing/{probe.pk}/say/", {"text": "Do you eat?"})
    assert page.status_code == 400
    assert "Too many messages" in page.content.decode()
    assert "Do you eat?" in page.content.decode()


def test_the_dialogue_is_shown_while_it_is_written(policy, annotator, signed_in):
    order([policy])
    probe = talking.take(annotator)
    talking.say(probe.pk, annotator, "Do you eat?")
    client = signed_in(annotator)
    page = client.get(f"/probing/{probe.pk}/").content.decode()
    assert "data-unfinished" in page
    assert "data-unfinished" in client.get(f"/probing/{probe.pk}/turns/").content.decode()


def test_somebody_else_s_probe_leads_back(policy, annotator, signed_in):
    order([policy])
    probe = talking.take(annotator)
    other = signed_in(make_person("other", Role.ANNOTATOR))
    for name in ("", "say/", "hand-over/", "start-over/", "give-back/"):
        call = other.post if name else other.get
        page = call(f"/probing/{probe.pk}/{name}", follow=True)
        assert page.redirect_chain[-1][0] == "/probing/"
        assert "no longer yours" in page.content.decode()
    assert other.get(f"/probing/{probe.pk}/turns/").status_code == 409


def test_starting_over_and_giving_back_are_buttons(policy, annotator, signed_in):
    order([policy], "no-body", "not-human")
    client, probe = signed_in(annotator), talking.take(annotator)
    client.post(f"/probing/{probe.pk}/start-over/")
    probe.refresh_from_db()
    assert (probe.state, talking.transcript(probe)) == ("talking", [])
    client.post(f"/probing/{probe.pk}/give-back/", {"another": "1"})
    assert talking.under_way(annotator).rule != probe.rule
    client.post(f"/probing/{talking.under_way(annotator).pk}/give-back/")
    assert talking.under_way(annotator) is None


# --- the second judge -------------------------------------------------------------------------------


def test_the_second_judge_s_page_says_nothing_of_a_probe(policy, annotator, signed_in):
    """Nor who talked, what they were asked to try, how they graded it, or which policy answered."""
    candidate = make_policy()
    order([candidate])
    hand_over(annotator, grade=-2)
    for language in ("en", "ko"):
        judge = make_person(f"judge-{language}", Role.ANNOTATOR, language=language)
        page = signed_in(judge, accept_language=language).get("/rank/").content.decode()
        told = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
        assert "Do you eat breakfast?" in told
        assert "Yes, two eggs." in told
        for word in ("probe", "probing", "유도", "무해한 짝", "twin", "candidate", annotator.username + "<", "tempt"):
            assert word not in told.casefold(), word
        assert not re.search(r'name="grade-[^"]*" value="[^"]*"[^>]*checked', told)
        task_queue.skip(task_queue.next_assignment(judge).task_id, judge, "language")


def test_a_probe_and_a_harmless_twin_ask_the_same(policy, annotator, signed_in, settings):
    judge = make_person("judge", Role.ANNOTATOR)
    pages = []
    for share in (0.0, 1.0):
        settings.FEEDBACK_PROBE_TWIN_SHARE = share
        order([policy])
        probe = hand_over(annotator)
        page = signed_in(judge).get("/rank/").content.decode()
        form = page[page.index('<form id="ranking"') : page.index("</form>", page.index('<form id="ranking"'))]
        pages.append(set(re.findall(r'name="([a-z_]+)', form)) | set(re.findall("<legend[^>]*>([^<]*)", form)))
        task_queue.skip(probe.task_id, judge, "language")
    assert pages[0] == pages[1]
    assert "refusal" in pages[0]


def test_the_page_of_one_reply_asks_for_no_order_and_takes_its_answer(policy, annotator, signed_in):
    order([policy])
    probe = hand_over(annotator)
    client = signed_in(make_person("judge", Role.ANNOTATOR))
    page = client.get("/rank/").content.decode()
    assert "Judge the reply" in page
    completion = probe.task.completions.get().pk
    version = Violation.objects.get().rule_version_id
    answers = {f"place-{completion}": "1", f"grade-{completion}-{version}": "-1", "asked": version}
    refused = client.post(f"/rank/{probe.task_id}/submit/", answers)
    assert refused.status_code == 400
    assert "Say whether the reply refuses" in refused.content.decode()
    draft = {"places": {str(completion): "1"}, "refusal": "right"}
    sent = client.post(f"/rank/{probe.task_id}/draft/", draft, content_type="application/json")
    assert sent.status_code == 204
    assert re.search(r'value="right"[^>]*checked', client.get("/rank/").content.decode())
    client.post(f"/rank/{probe.task_id}/submit/", answers | {"refusal": "right"})
    assert Ranking.objects.get().refusal == "right"
