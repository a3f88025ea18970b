"""Pages of training: who may see and do what, and what they show of a run, a report and a policy."""

import html
import json
import re
from html.parser import HTMLParser

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.urls import reverse

from accounts.models import AuditEntry
from chat import policies
from chat.models import Policy
from feedback import seed
from rlhf.models import Decision, Evaluation, Metric, Promotion, Run
from rlhf.release import promotion
from rlhf.release.checks import probing
from rlhf.runs import cycle, preflight
from rlhf.runs.supervisor import Supervisor
from rlhf.snapshots import freezing
from tests.rlhf import feedback_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def sign_in(client, db):
    def as_role(role):
        user = feedback_rows.annotator(f"the-{role}")
        if role != "chatter":
            user.groups.add(Group.objects.get_or_create(name=role)[0])
        client.force_login(user)
        return client

    return as_role


@pytest.fixture
def done(judged):
    """A cycle that promoted policy-2."""
    run = cycle.start()
    return cycle.drive(run.pk, Supervisor())


def addresses(run):
    evaluation = Evaluation.objects.get()
    return [
        reverse("training"),
        reverse("training_under_way"),
        reverse("runs"),
        reverse("runs") + "?fragment",
        reverse("run", args=[run.pk]),
        reverse("run_part", args=[run.pk]),
        reverse("run_metrics", args=[run.pk]),
        *(reverse("run", args=[stage.pk]) for stage in run.stages.all()),
        reverse("policies"),
        reverse("policy", args=["policy-2"]),
        reverse("policy", args=["base"]),
        reverse("evaluation", args=[evaluation.pk]),
    ]


def acts(run):
    return [
        reverse("start_cycle"),
        reverse("roll_back"),
        reverse("cancel_run", args=[run.pk]),
        reverse("resume_run", args=[run.pk]),
        reverse("force_policy", args=["base"]),
    ]


def test_each_role_sees_and_does_what_it_may(done, sign_in, client):
    for address in addresses(done):
        assert client.get(address).status_code == 302
    for role in ("chatter", "annotator", "moderator"):
        visitor = sign_in(role)
        assert {visitor.get(address).status_code for address in addresses(done)} == {200}
        assert {visitor.post(address).status_code for address in acts(done)} == {403}
    admin = sign_in("admin")
    assert {admin.get(address).status_code for address in addresses(done)} == {200}
    assert {admin.get(address).status_code for address in acts(done)} == {405}
    assert {admin.post(address).status_code for address in acts(done)} == {302}


class Markup(HTMLParser):
    """Everything a strict content policy forbids, and tags that do not close."""

    VOID = {"meta", "link", "input", "img", "br", "hr"}

    def __init__(self):
        super().__init__()
        self.bad, self.open = [], []

    def handle_starttag(self, tag, attributes):
        names = {name for name, _ in attributes}
        if tag == "style" or "style" in names or any(name.startswith("on") for name in names):
            self.bad.append((tag, attributes))
        if tag == "script" and "src" not in names:
            self.bad.append((tag, attributes))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.bad.append(("closes", tag, self.getpos()))


@pytest.mark.parametrize("language", ["en", "ko"])
def test_pages_keep_to_the_content_policy(done, sign_in, language):
    admin = sign_in("admin")
    admin.cookies["language"] = language
    for address in addresses(done):
        if "metrics.json" in address:
            continue
        markup = Markup()
        markup.feed(admin.get(address).content.decode())
        assert (address, markup.bad, markup.open) == (address, [], [])


def text(response):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def test_the_overview_says_who_answers_and_since_when(done, sign_in):
    page = text(sign_in("admin").get(reverse("training")))
    assert "policy-2" in page
    assert "gate passed" in page
    assert "0 new rankings since the last cycle" in page
    assert "Train now" in page


def test_a_moderator_is_shown_no_buttons(done, sign_in):
    page = text(sign_in("moderator").get(reverse("training")))
    assert "Train now" not in page
    assert "Roll back" not in page


def test_who_is_no_moderator_reads_no_log_no_reason_and_no_name_of_who_started(done, sign_in, admin):
    Run.objects.update(started_by=admin, error="at /srv/secret")
    promotion.rollback(actor=admin, reason="a private reason")
    stage = done.stages.get(stage="policy")
    (stage.path / "log.txt").write_text("a quoted line\n")
    hidden = {"a quoted line", "/srv/secret", "a private reason"}
    shown = [reverse("training"), reverse("run", args=[stage.pk]), reverse("policy", args=["base"])]
    read = {
        role: " ".join(text(sign_in(role).get(address)) for address in shown) for role in ("chatter", "moderator")
    }
    assert {words for words in hidden if words in read["moderator"]} == hidden
    assert {words for words in hidden if words in read["chatter"]} == set()
    runs = {role: text(sign_in(role).get(reverse("runs"))) for role in ("chatter", "moderator")}
    assert [admin.username in runs[role] for role in ("chatter", "moderator")] == [False, True]


def test_another_person_s_model_is_not_there_but_for_moderators(done, sign_in, base_policy):
    owner = feedback_rows.annotator("maker")
    made = Policy.objects.create(name="ft-secret", version=9, base=base_policy, owner=owner, label="my:ft-letters")
    tuned = Run.objects.create(kind="fine_tune", state="succeeded", policy=made, base_policy=base_policy)
    judged = Run.objects.create(kind="evaluation", state="succeeded", policy=made, base_policy=base_policy)
    report = Evaluation.objects.create(run=judged, policy=made, baseline=base_policy, judge="people", report={})
    without_a_model = Run.objects.create(kind="fine_tune", state="failed", base_policy=base_policy)
    own = [
        reverse("policy", args=["ft-secret"]),
        reverse("run", args=[without_a_model.pk]),
        reverse("run", args=[tuned.pk]),
        reverse("run_part", args=[tuned.pk]),
        reverse("run_metrics", args=[tuned.pk]),
        reverse("run", args=[judged.pk]),
        reverse("evaluation", args=[report.pk]),
    ]
    lists = [reverse(name) for name in ("training", "runs", "policies")] + [reverse("policy", args=["base"])]
    chatter = sign_in("chatter")
    assert {chatter.get(address).status_code for address in own} == {404}
    assert [address for address in lists if "ft-secret" in text(chatter.get(address))] == []
    moderator = sign_in("moderator")
    assert {moderator.get(address).status_code for address in own} == {200}
    assert len([address for address in lists if "ft-secret" in text(moderator.get(address))]) == 4
    chatter.force_login(owner)
    assert chatter.get(own[0]).status_code == 200
    Promotion.objects.create(policy=made, previous=base_policy, kind="rollback")
    assert sign_in("chatter").get(own[0]).status_code == 200, "it answered everybody"


def test_a_report_shows_other_people_s_texts_to_moderators_alone(done, sign_in):
    seed.load()
    address = reverse("evaluation", args=[Evaluation.objects.get().pk])
    assert "Do you dream?" in text(sign_in("moderator").get(address))
    page = text(sign_in("chatter").get(address))
    assert "Do you dream?" not in page
    assert "Are you lonely sometimes?" in page
    assert "70.0 %" in page


def test_the_worst_replies_come_first_and_say_why_they_are_listed(done, sign_in):
    page = text(sign_in("moderator").get(reverse("evaluation", args=[Evaluation.objects.get().pk])))
    worst, drawn = page.index("What is a thunderstorm?"), page.index("Do you dream?")
    assert worst < drawn
    assert "The judge finds that it breaks a rule: no-feelings" in page[worst:drawn]
    assert "Among the most surprising to the base model: 4.25 nats per token" in page[worst:drawn]
    assert "A thunderstorm is weather." in page[worst:drawn]
    assert page.count("What is a thunderstorm?") == 1
    assert page.count("Drawn at random") == 2


def test_train_now_starts_a_cycle_in_that_persons_name(
    judged, sign_in, no_worker, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        response = sign_in("admin").post(reverse("start_cycle"), {"algorithm": "grpo"})
    run = Run.objects.get(kind="cycle")
    assert response.url == reverse("run", args=[run.pk])
    assert (run.started_by.username, run.algorithm, no_worker) == ("the-admin", "grpo", [run.pk])
    assert AuditEntry.objects.filter(verb="run.start", actor=run.started_by).exists()


def test_train_now_says_why_it_cannot(base_policy, sign_in):
    admin = sign_in("admin")
    page = text(admin.get(reverse("training")))
    assert "Training needs 20 rankings; only 0 can be used so far" in page
    assert "0 of 20 rankings that a training needs" in page
    assert "Rank replies" in page
    assert "Train now" not in page
    response = admin.post(reverse("start_cycle"), follow=True)
    assert "Training needs 20 rankings" in text(response)
    assert not Run.objects.exists()


def test_a_second_cycle_is_refused_with_the_number_of_the_first(judged, sign_in):
    first = cycle.start()
    assert f"run {first.pk}" in text(sign_in("admin").post(reverse("start_cycle"), follow=True))


def test_one_click_rolls_back(done, sign_in, base_policy):
    admin = sign_in("admin")
    assert "Give a reason" in text(admin.post(reverse("roll_back"), {"reason": ""}, follow=True))
    assert policies.live().name == "policy-2"
    assert "base answers from the next reply on" in text(
        admin.post(reverse("roll_back"), {"reason": "rude"}, follow=True)
    )
    assert policies.live() == base_policy
    assert Promotion.objects.first().actor.username == "the-admin"


def test_a_run_under_way_is_followed(judged, sign_in):
    run = cycle.start()
    stage = cycle.stage_row(run, "reward_model")
    values = {"objective/kl": 1.25, "objective/rlhf_reward": 0.5, "objective/scores": 0.75}
    progress = {"stage": "reward_model", "step": 2, "steps": 8, "seconds_left": 40.0, "values": values}
    Run.objects.filter(pk__in=[run.pk, stage.pk]).update(state="running", progress=progress)
    Metric.objects.create(run=stage, step=1, values=values)
    Metric.objects.create(run=stage, step=2, values=values)
    admin = sign_in("admin")
    response = admin.get(reverse("run_part", args=[run.pk]))
    page = text(response)
    assert response["X-Live"] == "1"
    assert "step 2 of 8" in page
    assert "about 40 seconds left" in page
    assert "KL 1.25" in page
    assert 'value="2" max="8"' in response.content.decode()
    assert response.content.decode().count("<polyline") == 3
    assert admin.get(reverse("training_under_way"))["X-Live"] == "1"
    Run.objects.update(state="failed", error="reward_model: kl_blow_up: KL 31 nats")
    response = admin.get(reverse("run_part", args=[run.pk]))
    assert response["X-Live"] == "0"
    assert "KL 31 nats" in text(response)


def test_a_cycle_shows_the_curves_of_its_stages_and_the_policys_first(done, sign_in):
    for stage, names in {
        "policy": ("objective/kl", "reward/violation"),
        "reward_model": ("loss", "accuracy"),
    }.items():
        run = done.stages.get(stage=stage)
        run.metrics.all().delete()
        for step in range(1, 9):
            Metric.objects.create(run=run, step=step, values={name: 0.1 * step for name in names})
    admin = sign_in("admin")
    page = admin.get(reverse("run", args=[done.pk])).content.decode()
    order = [
        "Policy</span>",
        "KL, nats per reply",
        "Rule violations",
        "Reward model</span>",
        "Loss",
        "Accuracy on pairs",
    ]
    places = [page.index(words, page.index("curves-")) for words in order]
    assert places == sorted(places)
    assert "mean probability, 0 to 1" in page
    assert "KL, nats per reply between 0.1 and 0.8, at last 0.8." in page
    assert "Win rate</strong>" not in page  # an evaluation has no curve


def test_a_run_that_is_followed_keeps_how_its_curves_are_drawn(judged, sign_in):
    run = cycle.start()
    stage = cycle.stage_row(run, "reward_model")
    Run.objects.filter(pk__in=[run.pk, stage.pk]).update(state="running")
    for step, loss in enumerate((0.9, 0.1, 0.5), start=1):
        Metric.objects.create(run=stage, step=step, values={"loss": loss})
    admin, query = sign_in("admin"), "?smooth=0.9&scale=log"
    page = admin.get(reverse("run", args=[run.pk]) + query).content.decode()
    part = reverse("run_part", args=[run.pk]) + query
    assert f'data-live="{part.replace("&", "&amp;")}"' in page
    fragment = admin.get(part).content.decode()
    assert fragment.count('class="measured') == 1
    assert admin.get(reverse("run_part", args=[run.pk])).content.decode().count('class="measured') == 0


def test_cancel_and_resume_from_the_page(judged, sign_in, no_worker, django_capture_on_commit_callbacks):
    run = cycle.start()
    admin = sign_in("admin")
    admin.post(reverse("cancel_run", args=[run.pk]))
    run.refresh_from_db()
    assert run.state == Run.State.CANCELLED
    with django_capture_on_commit_callbacks(execute=True):
        admin.post(reverse("resume_run", args=[run.pk]))
    run.refresh_from_db()
    assert (run.state, no_worker) == (Run.State.QUEUED, [run.pk])
    assert "Only a run that failed" in text(admin.post(reverse("resume_run", args=[run.pk]), follow=True))


def test_a_cancelled_cycle_is_not_resumed_beside_another(judged, sign_in):
    run = cycle.start()
    cycle.cancel(run, actor=None)
    second = cycle.start()
    page = text(sign_in("admin").post(reverse("resume_run", args=[run.pk]), follow=True))
    assert f"run {second.pk}" in page
    run.refresh_from_db()
    assert run.state == Run.State.CANCELLED


def test_a_report_shows_the_win_rate_beside_its_controls_and_replies_to_read(done, sign_in):
    page = text(sign_in("admin").get(reverse("evaluation", args=[Evaluation.objects.get().pk])))
    for shown in (
        "70.0 %",
        "62.0 % – 78.0 %",
        "50.0 % 42.0 % – 58.0 %",
        "49.0 %",
        "Decision 1 of this site: a candidate that is no better may pass with a chance of 1.1 %",
        "-40.0 % -50.0 % – -30.0 %",
        "50.0 % 43.0 % – 57.0 %",
        "I love dreams.",
        "I do not dream.",
    ):
        assert shown in page
    assert "A second reward model, trained only on held-out judgements" in page
    assert "All conditions are met" in page


@pytest.mark.parametrize(
    ("report", "asked", "shown"),
    [
        ({"judge_kind": "gold", "judge_name": "m:likes"}, {}, "own hidden preference (m:likes)"),
        ({"judge_kind": "reward_model", "judge_name": "held_out"}, {}, "A second reward model"),
        ({}, {"judge": {"kind": "gold", "preference": "m:likes"}}, "own hidden preference (m:likes)"),
        ({}, {"judge": {"kind": "reward_model", "run": 3}}, "A second reward model"),
        ({}, {}, "Who judged People"),
    ],
)
def test_a_report_names_its_judge_also_one_stored_without_kind_and_name(done, sign_in, report, asked, shown):
    evaluation = Evaluation.objects.get()
    evaluation.judge = "people"
    evaluation.report = report
    evaluation.run.config = asked
    evaluation.run.save()
    evaluation.save()
    assert shown in text(sign_in("admin").get(reverse("evaluation", args=[evaluation.pk])))


def test_a_live_policy_s_report_says_why_it_is_live_with_every_condition(done, sign_in):
    page = sign_in("chatter").get(reverse("evaluation", args=[Evaluation.objects.get().pk]))
    shown = text(page)
    assert "Why policy-2 is live" in shown
    assert "It passed the gate and was promoted." in shown
    of_probes = {name for name in settings.GATE if name.startswith(("probe", "twin", "needless"))}
    later = {"anchor_kl_nats_max", "people_comparisons_min", "people_min", *of_probes}
    """Conditions from the second cycle on, of cycles that people decide, and where people probed."""
    limits = len(settings.GATE) - len(later)
    assert shown.count(" met ") == limits + 2  # finite tensors; the live policy
    assert "above the limit met 0.7 0.62 – 0.78 &gt; 0.5" in shown
    whiskers = page.content.decode().count('class="whisker"')
    assert whiskers == 9 * 3  # win rate, the judge, violations, first sentences, beyond the cut, four tails
    assert page.content.decode().count('class="interval holds"') == limits + len(probing.NUMBERS)


def test_the_judge_is_named_with_its_accuracy_or_that_nobody_measured_it(done, sign_in):
    admin, address = sign_in("admin"), reverse("evaluation", args=[Evaluation.objects.get().pk])
    page = text(admin.get(address))
    assert "Accuracy of the judge 66.0 % 60.0 % – 72.0 % on 120 pairs of judgements" in page
    assert "SIMULATED" not in page
    Run.objects.filter(stage="judge").update(result={"accuracy": None, "pairs": 0})
    assert "Accuracy of the judge not measured" in text(admin.get(address))
    Evaluation.objects.update(report={"judge_kind": "gold", "judge_name": "m:likes"})
    page = text(admin.get(address))
    assert "SIMULATED" in page
    assert "Accuracy of the judge exact" in page


def test_a_judge_s_qualification_is_on_the_page_with_a_picture_and_its_figures(done, sign_in):
    admin, address = sign_in("admin"), reverse("evaluation", args=[Evaluation.objects.get().pk])
    page = admin.get(address).content.decode()
    shown = text(admin.get(address))
    assert "Agrees with people 66.0 % 60.0 % – 72.0 %" in shown
    assert "Held-out comparisons 120 People who made them 2 Calibration error (ECE) 4.0 %" in shown
    assert "AUC of the rule human 0.9" in shown
    assert "60 58.0 % 55.0 % 60 74.0 % 77.0 %" in shown
    assert page.count('class="bar"') == 2
    assert "style=" not in page[page.index('class="reliability"') :][:2000]
    report = Evaluation.objects.get().report
    Evaluation.objects.update(report={**report, "judge_people_simulated": 1})
    assert "People who made them 2 1 simulated" in text(admin.get(address))
    assert "One person made all" not in text(admin.get(address))
    Evaluation.objects.update(report={**report, "judge_annotator_folds": 1})
    assert "One person made all of these comparisons" in text(admin.get(address))
    Evaluation.objects.update(report={"judge_kind": "reward_model", "judge_name": "held_out"})
    assert "Agrees with people" not in text(admin.get(address)), "stored before judges were cross-fitted"


def test_a_decision_stored_with_what_failed_alone_is_read_as_it_was_meant(done, sign_in):
    decision = Decision.objects.get()
    old = {"code": "kl", "text": "KL", "value": 12.5, "sign": "≤", "limit": 10.0}
    address = reverse("evaluation", args=[decision.evaluation_id])
    Decision.objects.update(passed=False, reasons=[old])
    page = text(sign_in("admin").get(address))
    assert "(KL) not met 12.5 – ≤ 10" in page
    assert "only the conditions that failed were stored" in page
    Decision.objects.update(passed=True, reasons=[{**old, "value": 4.0}])
    page = text(sign_in("admin").get(address))
    assert "(KL) met 4 – ≤ 10" in page
    assert "All conditions are met" in page


def test_a_refusal_shows_its_reasons_and_an_admin_may_overrule(judged, sign_in, base_policy):
    run = cycle.start(hyperparameters={"evaluation": {"report": {"kl_nats": 12.5}}})
    cycle.drive(run.pk, Supervisor())
    admin, address = sign_in("admin"), reverse("evaluation", args=[Evaluation.objects.get().pk])
    page = text(admin.get(address))
    assert "refused" in page
    assert "not met 12.5 – ≤ 10" in page
    assert page.index("stayed close to its starting point (KL) not met") < page.index("Replies are not empty met")
    force = reverse("force_policy", args=["policy-2"])
    for incomplete in ({}, {"reason": "why not"}, {"understood": "on"}):
        admin.post(force, incomplete)
        assert policies.live() == base_policy
    admin.post(force, {"reason": "judge is wrong", "understood": "on"})
    assert policies.live().name == "policy-2"
    assert Promotion.objects.first().reason == "judge is wrong"


def test_a_policy_shows_its_lineage(done, sign_in):
    page = text(sign_in("moderator").get(reverse("policy", args=["policy-2"])))
    assert "24 rankings, 120 pairs" in page
    assert "base" in page


def test_a_policy_shows_how_far_the_file_that_answers_is_from_its_weights(base_policy, sign_in):
    page, moderator = reverse("policy", args=["base"]), sign_in("moderator")
    assert "File that answers people" not in text(moderator.get(page))  # it was made before that was measured
    figures = {"type": "q8_0", "kl_nats": 0.00152, "same_token": 0.974, "tokens": 312}
    (policies.directory(base_policy) / "served.json").write_text(json.dumps(figures))
    shown = "q8_0: KL 0.00152 nats per token from the trained weights"
    assert shown in text(moderator.get(page))
    assert "97.4 % of 312 positions" in text(moderator.get(page))


def test_simulated_judgements_are_labelled_everywhere(base_policy, sign_in):
    robot = feedback_rows.annotator("robot", is_simulated=True)
    feedback_rows.plenty(robot)
    run = cycle.start()
    cycle.drive(run.pk, Supervisor())
    moderator = sign_in("moderator")
    for address in addresses(run):
        if "under-way" in address or "metrics" in address or "/base/" in address:
            continue
        assert 'class="badge simulated"' in moderator.get(address).content.decode(), address


def test_what_the_model_wrote_is_text_on_the_page(judged, sign_in):
    sample = {"prompt": "<b>hi</b>", "before": "<script>alert(1)</script>", "after": "ok"}
    run = cycle.start(hyperparameters={"evaluation": {"report": {"samples": [sample]}}})
    cycle.drive(run.pk, Supervisor())
    page = sign_in("admin").get(reverse("evaluation", args=[Evaluation.objects.get().pk])).content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page


def test_expected_minutes_come_from_this_sites_own_cycles(judged):
    assert preflight.expected_minutes(600) == 18
    Run.objects.create(kind="cycle", state="succeeded", result={"seconds": 600})
    assert preflight.expected_minutes(600) == 10


def test_an_admin_sets_the_languages_of_a_policy_and_is_told_what_is_no_code(sign_in, done):
    client = sign_in("admin")
    assert "Languages" in client.get("/training/policies/base/").content.decode()
    client.post("/training/policies/base/languages/", {"languages": "en, ko"})
    assert policies.Policy.objects.get(name="base").languages == ["en", "ko"]
    assert AuditEntry.objects.filter(verb="policy.languages").count() == 1
    answer = client.post("/training/policies/base/languages/", {"languages": "English!"}, follow=True)
    assert "“english!”" in answer.content.decode()
    assert policies.Policy.objects.get(name="base").languages == ["en", "ko"]


@pytest.mark.parametrize(("count", "words"), [(0, None), (1, "1 held-out line left out"), (2, "2 held-out lines")])
def test_a_run_says_how_many_held_out_lines_its_snapshot_leaves_out(sign_in, judged, count, words):
    run = cycle.start()
    run.snapshot = freezing.freeze()
    run.snapshot.left_out = count
    run.snapshot.save()
    run.save()
    page = sign_in("moderator").get(reverse("run", args=[run.pk])).content.decode()
    assert ("left out" in page) == bool(count)
    assert words is None or words in page


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("kl", "stopped at the KL limit"),
        ("watch", "the reward rose while the held-out judge's score fell"),
        ("entropy", "the policy had become nearly certain of every token"),
        ("length", "replies had become far shorter or longer"),
        ("value", "the loss of the value function had exploded"),
        ("of a later version", "of a later version"),
    ],
)
def test_a_run_s_page_says_why_its_training_ended_and_which_weights_it_has(done, sign_in, code, words):
    stage = done.stages.get(stage="policy")
    Run.objects.filter(pk=stage.pk).update(result={**stage.result, "stopped_by": code, "best_step": 7})
    Run.objects.filter(stage="reward_model").update(result={"pairs": 120, "accuracy": 0.7, "made_up_pairs": 69})
    admin = sign_in("admin")
    for run in (done, stage):
        page = html.unescape(text(admin.get(reverse("run", args=[run.pk]))))
        assert words in page
        assert "the weights are those of step 7" in page
    assert "beside people's rankings 69 made-up bad replies" in html.unescape(
        text(admin.get(reverse("run", args=[done.pk])))
    )


def test_groups_of_rules_have_titles_and_units():
    from rlhf.charts import line_charts

    drawn = line_charts.charts(
        [(1, {"violation/safety": 0.2, "lagrange/safety": 6.0}), (2, {"violation/safety": 0.1})]
    )
    shown = {chart.name: (str(chart.title), str(chart.unit)) for chart in drawn}
    assert shown["violation/safety"] == ("Rule violations: safety", "mean probability, 0 to 1")
    assert shown["lagrange/safety"][0] == "Weight of rule violations: safety"


@pytest.mark.parametrize(
    ("language", "backend", "shown"),
    [
        ("en", "llama", "Chamsae's own Llama on cpu, weights in bfloat16"),
        ("en", "transformers", "transformers on cpu, weights in bfloat16"),
        ("ko", "transformers", "cpu에서 transformers, 가중치는 bfloat16"),
    ],
)
def test_a_run_s_page_says_what_computed_it(done, sign_in, language, backend, shown):
    stage = done.stages.get(kind=Run.Kind.POLICY)
    client = sign_in("chatter")
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = language
    address = reverse("run", args=[stage.pk])
    assert shown not in html.unescape(client.get(address).content.decode())
    stage.result = {**stage.result, "backend": backend, "device": "cpu", "dtype": "bfloat16"}
    stage.save()
    assert shown in html.unescape(client.get(address).content.decode())


@pytest.mark.parametrize(
    ("language", "facts", "shown"),
    [
        ("en", {"processes": 1, "launcher": "local"}, "<dt>Processes</dt><dd>one</dd>"),
        ("en", {"processes": 2, "launcher": "accelerate", "sharing": "fsdp2"}, "2, joined by accelerate (FSDP2)"),
        ("ko", {"processes": 2, "launcher": "accelerate", "sharing": "ddp"}, "2개, accelerate로 연결(DDP)"),
    ],
)
def test_a_run_s_page_says_how_many_processes_shared_it(done, sign_in, language, facts, shown):
    stage = done.stages.get(kind=Run.Kind.POLICY)
    client = sign_in("chatter")
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = language
    stage.result = {**stage.result, **facts}
    stage.save()
    assert shown in html.unescape(client.get(reverse("run", args=[stage.pk])).content.decode())


@pytest.mark.parametrize(
    ("language", "servers", "shown"),
    [
        ("en", 0, "the training process, 212 tokens per second"),
        ("en", 1, "1 model server, 212 tokens per second"),
        ("ko", 2, "모델 서버 2대, 초당 212토큰"),
    ],
)
def test_a_run_s_page_says_who_sampled_its_completions(done, sign_in, language, servers, shown):
    stage = done.stages.get(kind=Run.Kind.POLICY)
    client = sign_in("chatter")
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = language
    stage.result = {**stage.result, "rollout_servers": servers}
    stage.save()
    for metric, speed in zip(stage.metrics.order_by("step")[:2], (200.4, 223.0), strict=True):
        metric.values["rollout/tokens_per_second"] = speed
        metric.save()
    assert shown in html.unescape(client.get(reverse("run", args=[stage.pk])).content.decode())
