from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('feedback', '0015_projects_by_people'),
    ]

    operations = [
        migrations.AddField(
            model_name='ranking',
            name='active_seconds',
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='ranking',
            name='corrected_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='ranking',
            name='history',
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AddField(
            model_name='ranking',
            name='overall',
            field=models.CharField(blank=True, choices=[('good', 'all good'), ('bad', 'all bad')], max_length=4),
        ),
        migrations.AddField(
            model_name='ranking',
            name='strength',
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AddField(
            model_name='ranking',
            name='too_fast',
            field=models.BooleanField(default=False, verbose_name='faster than reading allows'),
        ),
        migrations.AddField(
            model_name='ranking',
            name='unfolded',
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='violation',
            name='grade',
            field=models.SmallIntegerField(blank=True, choices=[(-2, 'definitely breaks'), (-1, 'probably breaks'), (0, 'unsure'), (1, 'probably follows'), (2, 'definitely follows')], null=True),
        ),
    ]
