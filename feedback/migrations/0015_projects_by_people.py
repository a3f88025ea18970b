"""People make projects: their prompts, members and links; and tasks are given out by need, a few of them by lot."""

import random

import django.db.models.deletion
import django.utils.timezone
import feedback.models
from django.conf import settings
from django.db import migrations, models
from django.db.models import Count


def fill(apps, schema_editor):
    """Tasks that wait get a lot of their own, since one default would stand for all; and what was judged is counted."""
    tasks = apps.get_model("feedback", "RankingTask").objects
    judged = apps.get_model("feedback", "Ranking").objects.filter(withdrawn_at=None)
    for row in list(judged.order_by().values("task").annotate(n=Count("pk"))):
        tasks.filter(pk=row["task"]).update(judgements=row["n"])
    for pk in list(tasks.filter(state__in=("open", "leased")).values_list("pk", flat=True)):
        tasks.filter(pk=pk).update(lot=random.random())


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0013_model_servers'),
        ('feedback', '0014_guidelines_and_care'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ProjectChoice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
            ],
            options={
                'verbose_name': 'choice of a project',
                'verbose_name_plural': 'choices of projects',
            },
        ),
        migrations.CreateModel(
            name='ProjectInvitation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('role', models.CharField(choices=[('annotator', 'annotator'), ('lead', 'lead')], default='annotator', max_length=10, verbose_name='role')),
                ('languages', models.JSONField(blank=True, default=list, verbose_name='languages')),
                ('expires_at', models.DateTimeField(verbose_name='expires')),
                ('max_uses', models.PositiveIntegerField(verbose_name='people at most')),
                ('uses', models.PositiveIntegerField(default=0)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'verbose_name': 'invitation to a project',
                'verbose_name_plural': 'invitations to projects',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='ProjectMember',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('role', models.CharField(choices=[('annotator', 'annotator'), ('lead', 'lead')], default='annotator', max_length=10, verbose_name='role')),
                ('languages', models.JSONField(blank=True, default=list, verbose_name='languages')),
                ('may_make_projects', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'verbose_name': 'member of a project',
                'verbose_name_plural': 'members of projects',
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='ProjectPrompt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('tags', models.JSONField(blank=True, default=list)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'verbose_name': 'prompt of a project',
                'verbose_name_plural': 'prompts of projects',
                'ordering': ['id'],
            },
        ),
        migrations.AddField(
            model_name='assignment',
            name='is_by_lot',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='project',
            name='policy',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='chat.policy'),
        ),
        migrations.AddField(
            model_name='project',
            name='replies',
            field=models.CharField(choices=[('live', 'the live model writes them'), ('policy', 'one model writes them'), ('pasted', 'they are in the file')], default='live', max_length=8, verbose_name='replies'),
        ),
        migrations.AddField(
            model_name='ranking',
            name='is_by_lot',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='rankingtask',
            name='judgements',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='rankingtask',
            name='lot',
            field=models.FloatField(default=feedback.models.drawn_lot),
        ),
        migrations.AlterField(
            model_name='prompt',
            name='source',
            field=models.CharField(choices=[('seed', 'seed'), ('conversation', 'conversation'), ('imported', 'imported'), ('project', 'project')], default='seed', max_length=12),
        ),
        migrations.AlterField(
            model_name='rankingtask',
            name='policy',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='chat.policy'),
        ),
        migrations.AddIndex(
            model_name='rankingtask',
            index=models.Index(fields=['state', 'project', 'judgements', 'id'], name='tasks_by_need'),
        ),
        migrations.AddIndex(
            model_name='rankingtask',
            index=models.Index(fields=['project', 'prompt'], name='tasks_of_a_prompt'),
        ),
        migrations.AddField(
            model_name='projectchoice',
            name='person',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='project_choice', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='projectchoice',
            name='project',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='feedback.project'),
        ),
        migrations.AddField(
            model_name='projectinvitation',
            name='created_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='projectinvitation',
            name='project',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='invitations', to='feedback.project'),
        ),
        migrations.AddField(
            model_name='projectmember',
            name='invitation',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, to='feedback.projectinvitation'),
        ),
        migrations.AddField(
            model_name='projectmember',
            name='person',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='projectmember',
            name='project',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='members', to='feedback.project'),
        ),
        migrations.AddField(
            model_name='projectprompt',
            name='project',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='prompts', to='feedback.project'),
        ),
        migrations.AddField(
            model_name='projectprompt',
            name='prompt',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='projects', to='feedback.prompt'),
        ),
        migrations.AddConstraint(
            model_name='projectmember',
            constraint=models.UniqueConstraint(fields=('project', 'person'), name='one_membership_a_project'),
        ),
        migrations.AddConstraint(
            model_name='projectprompt',
            constraint=models.UniqueConstraint(fields=('project', 'prompt'), name='one_prompt_a_project'),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
