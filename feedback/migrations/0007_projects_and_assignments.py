import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("feedback", "0006_blind_comparisons"),
    ]

    operations = [
        migrations.CreateModel(
            name="Project",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.SlugField(max_length=60, unique=True, verbose_name="key")),
                ("title", models.CharField(blank=True, max_length=120, verbose_name="title")),
                (
                    "state",
                    models.CharField(
                        choices=[("open", "open"), ("stopped", "stopped")],
                        db_index=True,
                        default="open",
                        max_length=10,
                    ),
                ),
                ("overlap", models.PositiveSmallIntegerField(default=1, verbose_name="judgements of each task")),
                (
                    "completions_per_task",
                    models.PositiveSmallIntegerField(default=4, verbose_name="replies in a task"),
                ),
                ("languages", models.JSONField(blank=True, default=list, verbose_name="languages")),
                ("deadline", models.DateTimeField(blank=True, null=True, verbose_name="deadline")),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"verbose_name": "project", "verbose_name_plural": "projects", "ordering": ["id"]},
        ),
        migrations.CreateModel(
            name="Assignment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("since", models.DateTimeField(default=django.utils.timezone.now)),
                ("lease_until", models.DateTimeField()),
                ("shown_order", models.JSONField(default=list)),
                ("draft", models.JSONField(default=dict)),
                (
                    "annotator",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="assignment",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "task",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="assignments",
                        to="feedback.rankingtask",
                    ),
                ),
            ],
            options={"verbose_name": "assignment", "verbose_name_plural": "assignments"},
        ),
        migrations.AddField(
            model_name="rankingtask",
            name="overlap",
            field=models.PositiveSmallIntegerField(default=1),
        ),
        migrations.AddField(
            model_name="rankingtask",
            name="project",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="tasks",
                to="feedback.project",
            ),
        ),
    ]
