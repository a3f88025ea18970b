"""Pages of trust: what moderators see and decide, what a person sees of themselves, and how many queries it takes."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEntry
from accounts.roles import Role
from feedback.models import AnnotatorTrust, GoldAnswer, TrustFinding
from feedback.trust import assessment
from tests.feedback.ranking_tasks import make_task
from tests.feedback.trust import simulated_people as sim

pytestmark = pytest.mark.django_db
NAMES = [f"person-{n}" for n in range(6)]


@pytest.fixture
def clicker():
    """One of six clicks at random, and so is in the list of what to look at."""
    of = sim.world(2, sim.random_answers, honest=5, attackers=1, overlap=4)
    people = sim.store(of, NAMES)
    assessment.assess()
    return people[5]


@pytest.fixture
def client(moderator, signed_in):
    return signed_in(moderator)


def decide(client, finding, state, reason="looked at ten of them"):
    return client.post(f"/trust/findings/{finding.pk}/decide/", {"state": state, "reason": reason})


def test_moderators_see_people_findings_and_agreement(clicker, client):
    page = client.get("/trust/").content.decode()
    assert all(name in page for name in NAMES)
    assert "agrees with others no more than chance would" in page
    assert "something waits for a moderator" in page
    assert "Order of replies" in page
    finding = TrustFinding.objects.get(person=clicker)
    shown = client.get(f"/trust/people/{clicker.pk}/").content.decode()
    assert f"{100 * finding.figure:.0f} % over {finding.count} judgements; the threshold is 70 %" in shown


def test_the_pages_are_for_moderators(clicker, annotator, signed_in):
    for path in ("/trust/", f"/trust/people/{clicker.pk}/", "/trust/gold/"):
        assert signed_in(annotator).get(path).status_code == 403


@pytest.mark.parametrize(
    ("state", "verb", "weighs"), [("cleared", "trust.clear", True), ("discounted", "trust.discount", False)]
)
def test_a_decision_changes_the_weight_at_once_and_is_written_down(clicker, client, moderator, state, verb, weighs):
    finding = TrustFinding.objects.get(person=clicker)
    assert AnnotatorTrust.objects.get(person=clicker).weight == 0
    assert decide(client, finding, state).status_code == 302
    stored = AnnotatorTrust.objects.get(person=clicker)
    assert (stored.reason == "discounted") is not weighs
    assert (stored.weight > 0) == (weighs and stored.figures["accuracy"] > 0.5)
    entry = AuditEntry.objects.latest("id")
    assert (entry.verb, entry.actor, entry.reason) == (verb, moderator, "looked at ten of them")
    assessment.assess()
    assert not TrustFinding.objects.filter(person=clicker, state="open").exists()
    assert AnnotatorTrust.objects.get(person=clicker).weight == stored.weight


def test_a_decision_can_be_changed_and_needs_a_reason_and_somebody_else(clicker, client, signed_in):
    finding = TrustFinding.objects.get(person=clicker)
    assert decide(client, finding, "cleared", reason=" ").status_code == 400
    assert decide(client, finding, "open").status_code == 400
    assert decide(client, finding, "cleared").status_code == 302
    again = decide(client, finding, "cleared")
    assert again.status_code == 409
    assert "decided so already" in again.content.decode()
    assert decide(client, finding, "discounted").status_code == 302
    clicker.groups.add(client.get("/trust/").context["user"].groups.get())
    own = decide(signed_in(clicker), finding, "cleared")
    assert (own.status_code, TrustFinding.objects.get(pk=finding.pk).state) == (409, "discounted")


def test_what_was_cleared_is_found_again_only_among_twice_as_many_judgements(clicker, client):
    finding = TrustFinding.objects.get(person=clicker)
    decide(client, finding, "cleared")
    TrustFinding.objects.filter(pk=finding.pk).update(count=finding.count // 2)
    assessment.assess()
    assert TrustFinding.objects.filter(person=clicker, state="open").count() == 1


def test_an_answer_is_set_with_the_order_that_people_gave_proposed(clicker, client):
    task = next(iter(client.get("/trust/gold/").context["candidates"]))
    page = client.get(f"/trust/gold/tasks/{task.pk}/").content.decode()
    assert page.count("selected") == 2
    ids = list(task.completions.values_list("pk", flat=True))
    tied = client.post(f"/trust/gold/tasks/{task.pk}/", {f"place-{pk}": "1" for pk in ids})
    assert tied.status_code == 400
    assert "at least one reply has to be better" in tied.content.decode()
    given = {f"place-{ids[0]}": "1", f"place-{ids[1]}": "2"}
    assert client.post(f"/trust/gold/tasks/{task.pk}/", given).status_code == 302
    answer = GoldAnswer.objects.get()
    assert answer.ranks == {str(ids[0]): 1, str(ids[1]): 2}
    assert client.post(f"/trust/gold/{answer.pk}/remove/").status_code == 302
    assert not GoldAnswer.objects.get().is_active


def test_rules_whose_answer_is_known_are_kept(client, policy, seeds):
    task = make_task(policy)
    ids = list(task.completions.values_list("pk", flat=True))
    places = {f"place-{pk}": str(n) for n, pk in enumerate(ids, start=1)}
    flags = {"rule": ["no-body", "no-such-rule"], "breaks-no-body": [str(ids[1]), "999999"]}
    client.post(f"/trust/gold/tasks/{task.pk}/", {**places, **flags})
    assert GoldAnswer.objects.get().flags == {"no-body": [ids[1]]}
    assert client.get(f"/trust/gold/tasks/{task.pk}/").content.decode().count("checked") == 2


def test_people_see_their_own_figures_but_not_how_they_did_on_known_answers(clicker, signed_in):
    page = signed_in(clicker).get("/rank/mine/").content.decode()
    assert "How my judgements count" in page
    assert "Known answers" not in page
    assert "person-0" not in page


def test_the_list_takes_as_many_queries_for_many_people_as_for_few(clicker, client, person):
    def queries():
        with CaptureQueriesContext(
            connection,
        ) as found:
            client.get("/trust/")
        return len(found)

    queries()
    few = queries()
    for n in range(20):
        other = person(f"more-{n}", Role.ANNOTATOR)
        AnnotatorTrust.objects.create(person=other, weight=0.0)
        TrustFinding.objects.create(
            person=other, kind="copying", figure=1, threshold=0.7, count=40, others=[clicker.pk]
        )
    assert queries() <= few + 1  # the others of copies, in one


def test_programs_and_suspended_people_are_not_assessed(person, moderator):
    of = sim.world(2, sim.random_answers, honest=5, attackers=1, overlap=4)
    people = sim.store(of, NAMES)
    people[5].is_simulated = True
    people[5].save()
    people[5].rankings.update(is_simulated=True)
    people[4].suspended_until = timezone.now() + timedelta(days=1)
    people[4].save()
    assessment.assess()
    assert set(AnnotatorTrust.objects.values_list("person", flat=True)) == {one.pk for one in people[:4]}
