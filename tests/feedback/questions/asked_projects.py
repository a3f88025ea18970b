"""Projects that ask each kind of question, and right answers to them, for tests."""

import json

from feedback.judgements import task_queue
from feedback.models import Project, Rule
from feedback.projects import asks, people, prompt_files, setting_up
from feedback.projects.people import PersonLine
from feedback.projects.setting_up import ProjectPlan
from feedback.questions import answering
from feedback.questions.kind import asked
from feedback.questions.kinds import KINDS

Question = Project.Question
REPLIES = {"rank": 3, "compare": 2, "grade": 2, "rate": 2, "demonstrate": 0, "correct": 1}
ASKED = ("Is the sea salty?", "Do sparrows hibernate?", "Can a magnet attract wood?")


def lines(question, texts=ASKED, side="train"):
    count = REPLIES[question]
    rows = [
        {"prompt": text, "language": "en", "side": side, "replies": [f"Reply {n} to that." for n in range(count)]}
        for text in texts
    ]
    text = "\n".join(json.dumps(row) for row in rows)
    bounds = asks.replies_in_file(question, asks.replies_from(question, "pasted"))
    return prompt_files.read(text, "jsonl", replies=bounds)


def make_project(question, *, key="", overlap=1, texts=ASKED, members=(), side="train"):
    made, _stored = setting_up.create(
        ProjectPlan(
            key=key or f"about-{question}",
            title=f"About {question}",
            replies=asks.replies_from(question, "pasted"),
            completions_per_task=asks.completions_for(question, 4),
            overlap=overlap,
            question=question,
            rule=Rule.objects.get(key="no-insults") if question == Question.GRADE else None,
            attributes=["helpfulness", "wit"] if question == Question.RATE else [],
            prompts=lines(question, texts, side),
        ),
        by=None,
    )
    people.add(made, [PersonLine(n, name) for n, name in enumerate(members, start=1)], by=None)
    return made


def right(question, of, number=0):
    """Fields of an answer that is complete; another number, another answer, in whichever order the replies stand."""
    ids = sorted(of.ids)
    if question == "rank":
        return {f"place-{pk}": str((place + number) % len(ids) + 1) for place, pk in enumerate(ids)}
    if question == "compare":
        sides = ("a2", "b3") if ids == of.ids else ("b2", "a3")
        return {"choice": (*sides, "0", "bad")[number % 4]}
    if question == "grade":
        grade = str((-2, 2, 0, 1)[number % 4])
        return {"version": str(of.rule.pk), **{f"grade-{pk}": grade for pk in ids}}
    if question == "rate":
        step = str((number * 3) % 7 + 1)
        return {f"rate-{pk}-{n}": step for pk in ids for n in range(len(of.attributes))}
    return {"text": f"The best reply, number {number}."}


def answer(annotator, number=0, **fields):
    """Answers the next task of this person; None if there is none."""
    own = task_queue.next_assignment(annotator)
    if own is None:
        return None
    of = asked(own.task, own.shown_order)
    given = {**right(own.task.project.question, of, number), **fields}
    return answering.submit(own.task_id, annotator, given)


def of_answer(made):
    return KINDS[made.task.project.question], asked(made.task, made.shown_order)
