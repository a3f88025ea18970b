"""Projects made, changed, stopped and cloned: prompts on their sides, tasks of pasted replies, nothing half made."""

import pytest

from accounts.models import AuditEntry
from chat.models import Policy
from feedback import trainable
from feedback.judgements import task_stock
from feedback.models import Project, ProjectPrompt, Prompt, RankingTask
from feedback.projects import progress, prompt_files, setting_up
from feedback.projects.errors import KeyTaken, NotForTheSite, PeopleRefused, PromptFileRefused
from feedback.projects.people import PersonLine
from feedback.projects.setting_up import ProjectPlan
from feedback.tasks import stock_tasks
from tests.feedback.projects.prompt_lines import pasted
from tests.feedback.ranking_tasks import take_task


def lines(*texts, **fields):
    return [
        prompt_files.PromptLine(n, [{"role": "user", "content": text}], "en", **fields)
        for n, text in enumerate(texts)
    ]


def test_pasted_replies_are_tasks_at_once_without_identical_ones(project):
    tasks = RankingTask.objects.filter(project=project)
    assert tasks.count() == 3
    assert {task.overlap for task in tasks} == {2}
    assert [list(task.completions.values_list("text", flat=True)) for task in tasks] == [["Yes.", "No."]] * 3
    assert {task.policy for task in tasks} == {None}
    assert trainable.prompts().filter(projects__project=project).count() == 3
    assert AuditEntry.objects.get(verb="project.create").after["tasks"] == 3


def test_a_project_of_wrong_people_is_not_made_at_all(admin):
    plan = ProjectPlan(key="half", title="Half", prompts=lines("Why?"), people=[PersonLine(1, "nobody-of-this-name")])
    with pytest.raises(PeopleRefused, match="Line 1"):
        setting_up.create(plan, by=admin)
    assert not Project.objects.filter(key="half").exists()
    assert not Prompt.objects.exists()
    assert not AuditEntry.objects.filter(verb__startswith="project").exists()


@pytest.mark.parametrize("key", ["course", "site", "new", "join"])
def test_a_key_is_taken_once(project, admin, key):
    with pytest.raises(KeyTaken):
        setting_up.create(ProjectPlan(key=key, title="Again", prompts=lines("Why?")), by=admin)


def test_a_prompt_stands_on_the_side_of_what_it_nearly_repeats(admin, seeds):
    held_out = Prompt.objects.filter(split="held_out", language="en").first().messages[0]["content"]
    twin = held_out.upper() + "!"
    plan = ProjectPlan(
        key="sides", title="Sides", prompts=lines(twin, "Sing of the moss under the old stone bridge.", side="train")
    )
    made, stored = setting_up.create(plan, by=admin)
    assert stored.other_side == 1
    splits = ProjectPrompt.objects.filter(project=made).values_list("prompt__split", flat=True)
    assert sorted(splits) == ["held_out", "train"]


def test_near_duplicates_of_one_file_stand_together(admin):
    text = "Tell me how the lighthouse keeper spent the long winter."
    prompts = [*lines(text, side="held_out"), *lines(text.lower(), side="train")]
    stored = setting_up.create(ProjectPlan(key="twins", title="Twins", prompts=prompts), by=admin)[1]
    assert (stored.prompts, stored.other_side, stored.held_out) == (2, 1, 2)


def test_the_same_prompt_is_there_once_and_keeps_its_side(project, admin):
    other, stored = setting_up.create(
        ProjectPlan(key="again", title="Again", replies=Project.Replies.PASTED, prompts=pasted()), by=admin
    )
    assert (stored.prompts, Prompt.objects.count()) == (3, 3)
    assert setting_up.add_prompts(other, pasted(), by=admin).doubles == 3
    assert RankingTask.objects.filter(project=other).count() == 6


def test_a_language_that_the_project_does_not_have_is_refused(admin):
    with pytest.raises(PromptFileRefused, match="Its language is en"):
        setting_up.create(ProjectPlan(key="ko", title="Ko", languages=["ko"], prompts=lines("Why?")), by=admin)


def test_a_new_overlap_is_that_of_tasks_which_nobody_has_begun(project, member, admin):
    begun = take_task(member("ann"))
    assert setting_up.change(project, {"overlap": 5}, by=admin)
    assert dict(RankingTask.objects.values_list("pk", "overlap"))[begun.pk] == 2
    assert sorted(RankingTask.objects.values_list("overlap", flat=True)) == [2, 5, 5]
    assert not setting_up.change(project, {"overlap": 5}, by=admin)


def test_of_the_site_s_stream_the_overlap_alone_is_changed(db, admin):
    site = Project.objects.get(key="site")
    setting_up.change(site, {"overlap": 3, "title": "Ours"}, by=admin)
    assert (site.overlap, site.title) == (3, "")
    for refused in (
        lambda: setting_up.set_state(site, "stopped", by=admin),
        lambda: setting_up.clone(site, "copy", "Copy", with_people=False, by=admin),
        lambda: setting_up.add_prompts(site, lines("Why?"), by=admin),
    ):
        with pytest.raises(NotForTheSite):
            refused()


def test_a_clone_has_the_prompts_and_replies_and_no_judgement(project, member, lead, admin):
    member("ann")
    made = setting_up.clone(project, "copy", "Copy", with_people=True, by=admin)
    assert (made.overlap, made.prompts.count(), made.tasks.count()) == (2, 3, 3)
    assert [task.completions.count() for task in made.tasks.all()] == [2, 2, 2]
    assert set(made.members.values_list("person__username", "role")) == {("ann", "annotator"), ("leah", "lead")}


# --- replies by policies --------------------------------------------------------------------------


def test_tasks_of_a_project_are_made_by_the_refill(policy, speech, admin, settings):
    settings.FEEDBACK_TASK_STOCK = 2
    made, _stored = setting_up.create(
        ProjectPlan(
            key="live", title="Live", prompts=lines("One?", "Two?", "Three?"), overlap=3, completions_per_task=3
        ),
        by=admin,
    )
    assert progress.of(made).tasks.unmade == 3
    assert stock_tasks() == 2
    assert stock_tasks() == 0
    tasks = list(made.tasks.all())
    assert [(task.policy, task.overlap, task.completions.count()) for task in tasks] == [(policy, 3, 3)] * 2
    assert progress.of(made).tasks.unmade == 1


def test_as_many_tasks_are_ready_as_people_are_at_work(policy, speech, admin, member, settings):
    settings.FEEDBACK_TASK_STOCK = 1
    made, _stored = setting_up.create(
        ProjectPlan(key="live", title="Live", prompts=lines(*(f"Question number {n}?" for n in range(9)))), by=admin
    )
    people = [member(f"p{n}", to=made) for n in range(3)]
    for person in people:
        assert stock_tasks() >= 1
        assert take_task(person).project == made
    stock_tasks()
    assert made.tasks.filter(state="open").count() == 3


def test_one_policy_writes_the_replies_whichever_is_live(policy, speech, admin, settings):
    settings.FEEDBACK_TASK_STOCK = 1
    named = Policy.objects.create(name="older", version=7, is_scripted=True)
    made, _stored = setting_up.create(
        ProjectPlan(key="one", title="One", replies=Project.Replies.POLICY, policy=named, prompts=lines("One?")),
        by=admin,
    )
    assert stock_tasks() == 1
    Policy.objects.update(is_live=False)
    Policy.objects.create(name="newer", version=9, is_live=True, is_scripted=True)
    stock_tasks()
    assert [(task.policy, task.state) for task in made.tasks.all()] == [(named, "open")]


def test_a_stopped_project_gets_no_tasks(policy, speech, admin):
    made, _stored = setting_up.create(ProjectPlan(key="live", title="Live", prompts=lines("One?")), by=admin)
    setting_up.set_state(made, "stopped", by=admin)
    assert stock_tasks() == 0
    setting_up.set_state(made, "open", by=admin)
    assert stock_tasks() == 1


def test_the_site_s_own_stream_never_asks_a_project_s_prompts(policy, project):
    assert not task_stock.candidates().filter(source="project").exists()
