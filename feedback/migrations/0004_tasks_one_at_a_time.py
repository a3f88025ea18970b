import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("feedback", "0003_called_by_names")]

    operations = [
        migrations.CreateModel(
            name="TaskRefill",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(default=1, editable=False, primary_key=True, serialize=False),
                ),
                ("owner", models.CharField(blank=True, max_length=150)),
                ("lease_until", models.DateTimeField(blank=True, null=True)),
                ("done", models.PositiveSmallIntegerField(default=0)),
                ("wanted", models.PositiveSmallIntegerField(default=0)),
            ],
            options={
                "verbose_name": "making of ranking tasks",
                "verbose_name_plural": "making of ranking tasks",
            },
        ),
        migrations.CreateModel(
            name="UnjudgedSet",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("simulation", models.CharField(max_length=64)),
                ("number", models.PositiveIntegerField()),
                ("completions", models.JSONField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "prompt",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="feedback.prompt"
                    ),
                ),
            ],
            options={
                "verbose_name": "unjudged set of completions",
                "verbose_name_plural": "unjudged sets of completions",
                "constraints": [
                    models.UniqueConstraint(fields=("simulation", "number"), name="one_set_a_number")
                ],
            },
        ),
    ]
