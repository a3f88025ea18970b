import django.db.models.deletion
from django.db import migrations, models

import feedback.models


class Migration(migrations.Migration):
    dependencies = [("feedback", "0008_tasks_into_the_site_project")]

    operations = [
        migrations.RemoveConstraint(model_name="rankingtask", name="one_lease_an_annotator"),
        migrations.RemoveField(model_name="rankingtask", name="draft"),
        migrations.RemoveField(model_name="rankingtask", name="lease_until"),
        migrations.RemoveField(model_name="rankingtask", name="leased_at"),
        migrations.RemoveField(model_name="rankingtask", name="leased_to"),
        migrations.RemoveField(model_name="rankingtask", name="shown_order"),
        migrations.AlterField(
            model_name="rankingtask",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="tasks", to="feedback.project"
            ),
        ),
        # In a step of its own: the default reads the table, which may have other columns by then.
        migrations.AlterField(
            model_name="rankingtask",
            name="project",
            field=models.ForeignKey(
                default=feedback.models.site_project,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="tasks",
                to="feedback.project",
            ),
        ),
    ]
