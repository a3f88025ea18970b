"""`manage.py assess_annotators`: measures how well people judge, and what their judgements weigh."""

from typing import Any

from base.commands import ChamsaeCommand, Exit
from feedback.trust import assessment


class Command(ChamsaeCommand):
    help = (
        "Measures everybody who judges, as the site does every hour and for each snapshot: agreement, known answers, "
        "habits, and what their judgements weigh in training. What stands out waits on the page Trust."
    )
    examples = """
    manage.py assess_annotators
    manage.py assess_annotators --json
    """

    def handle(self, *args: Any, **options: Any) -> None:
        done = assessment.assess()
        if not done.people:
            self.finish({"people": 0, "new_findings": 0}, Exit.NOTHING_TO_DO, "nobody has judged anything yet")
        text = f"{done.people} people assessed, {done.opened} new findings"
        self.finish({"people": done.people, "new_findings": done.opened}, text=text)
