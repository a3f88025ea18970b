"""Every task so far is one of the site's own stream; whoever works on one keeps it, with what they have entered."""

from django.db import migrations
from django.utils import timezone


def fill(apps, schema_editor):
    project, _made = apps.get_model("feedback", "Project").objects.get_or_create(key="site")
    tasks = apps.get_model("feedback", "RankingTask").objects
    tasks.update(project=project)
    assignments = apps.get_model("feedback", "Assignment").objects
    now = timezone.now()
    for task in tasks.filter(state="leased", leased_to__isnull=False).iterator():
        assignments.create(
            task=task,
            annotator_id=task.leased_to_id,
            since=task.leased_at or now,
            lease_until=task.lease_until or now,
            shown_order=task.shown_order,
            draft=task.draft,
        )
    tasks.filter(state="leased", leased_to=None).update(state="open")


class Migration(migrations.Migration):
    dependencies = [("feedback", "0007_projects_and_assignments")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
