"""Who is told of a promotion or rollback, what they read, and what the page behind it shows to whom."""

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse

from accounts.models import Notice, User
from chat import policies
from chat.models import Conversation
from feedback import seed
from rlhf.models import Evaluation, Promotion
from rlhf.release import promotion, promotion_notices
from rlhf.runs import cycle
from rlhf.runs.supervisor import Supervisor
from tests.rlhf import feedback_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def promoted(judged):
    """A cycle trained on 24 rankings of ann's has promoted policy-2; sora chats, leo once did."""
    Conversation.objects.create(owner=feedback_rows.annotator("sora"))
    Conversation.objects.create(owner=feedback_rows.annotator("leo"), deleted_at="2026-01-01T00:00Z")
    feedback_rows.annotator("silent")
    seed.load()
    run = cycle.start()
    cycle.drive(run.pk, Supervisor())
    return Promotion.objects.get(policy__name="policy-2")


def told():
    return {row.person.username: row.text for row in Notice.objects.select_related("person")}


def test_who_chats_and_who_judged_is_told_and_nobody_else(promoted):
    assert told() == {
        "sora": "A new version of the model answers: policy-2.",
        "ann": "A new version of the model answers: policy-2. 24 judgements of yours helped to train and check it.",
    }
    assert set(Notice.objects.values_list("link", flat=True)) == {reverse("promotion", args=[promoted.pk])}


def test_the_first_model_of_a_site_is_no_news(base_policy):
    Conversation.objects.create(owner=feedback_rows.annotator("sora"))
    promotion_notices.send(Promotion.objects.get(kind="base"))
    assert told() == {}


def test_a_rollback_is_told_to_those_who_chat(promoted, admin):
    Notice.objects.all().delete()
    promotion.rollback(actor=admin, reason="It was rude.")
    assert told() == {"sora": "The previous version base answers again instead of policy-2."}


def test_a_promotion_that_is_undone_by_an_error_tells_nobody(promoted, admin, monkeypatch):
    Notice.objects.all().delete()
    monkeypatch.setattr("rlhf.release.promotion.retire_old", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        promotion.rollback(actor=admin, reason="It was rude.")
    assert policies.live().name == "policy-2"
    assert told() == {}


def test_a_refusal_is_told_to_admins_alone(judged, admin):
    Conversation.objects.create(owner=feedback_rows.annotator("sora"))
    run = cycle.start(hyperparameters={"evaluation": {"report": {"kl_nats": 12.5}}})
    cycle.drive(run.pk, Supervisor())
    assert told() == {admin.username: "The gate refused policy-2: it was not promoted."}
    assert Notice.objects.get().link == reverse("evaluation", args=[Evaluation.objects.get().pk])


# --- the page -----------------------------------------------------------------------------------------------------


def page_for(client, name, shown, role=""):
    user = User.objects.get_or_create(username=name)[0]
    if role:
        user.groups.add(Group.objects.get_or_create(name=role)[0])
    client.force_login(user)
    response = client.get(reverse("promotion", args=[shown.pk]), headers={"accept-language": "en"})
    assert response.status_code == 200
    return response.content.decode()


def test_the_page_shows_two_prompts_of_the_site_with_both_replies_and_the_figures(promoted, client):
    page = page_for(client, "sora", promoted)
    for shown in ("Are you lonely sometimes?", "Yes, on Sundays", "No. I am a program", "What is a thunderstorm?"):
        assert shown in page
    for shown in ("70.0 %", "62.0 % – 78.0 %", "50.0 % → ", "by the site itself", "24 judgements", "1 person"):
        assert shown in page
    assert "of yours" not in page


@pytest.mark.parametrize("role", ["", "moderator", "admin"])
def test_the_page_shows_nobody_a_prompt_that_is_not_the_site_s(promoted, client, role):
    assert "Do you dream?" not in page_for(client, "sora", promoted, role)


def test_whose_judgements_it_was_trained_on_reads_how_many(promoted, client):
    assert "24 judgements of yours helped" in page_for(client, "ann", promoted)


def test_the_page_of_a_forced_promotion_and_of_a_rollback_say_who(promoted, admin, client):
    back = promotion.rollback(actor=admin, reason="It was rude.")
    page = page_for(client, "sora", back)
    assert f"by {admin.username}" in page
    assert "before and after" not in page
    assert "rude" not in page, "the reason is for moderators"
    forced = promotion.force(promoted.policy, actor=admin, reason="I want it.")
    page = page_for(client, "sora", forced)
    assert "without the gate" in page
    assert "Are you lonely sometimes?" in page, "from its evaluation against the version before"
