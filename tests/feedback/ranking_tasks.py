"""Ranking tasks for tests to judge."""

from feedback.models import Completion, Prompt, RankingTask
from feedback.prompts import digest


def make_task(policy, text="What is a rainbow?", state="open", replies=4, **prompt):
    messages = [{"role": "user", "content": text}]
    row, _ = Prompt.objects.get_or_create(sha256=digest(messages), defaults={"messages": messages, **prompt})
    task = RankingTask.objects.create(prompt=row, policy=policy, state=state)
    Completion.objects.bulk_create(
        Completion(task=task, index=index, text=f"Reply number {index}.", finish_reason="stop")
        for index in range(replies)
    )
    return task
