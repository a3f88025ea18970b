from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("rlhf", "0004_leaks_left_out"),
    ]

    operations = [
        migrations.AddField(
            model_name="evaluation",
            name="number",
            field=models.PositiveIntegerField(null=True, unique=True),
        ),
        migrations.AddField(
            model_name="evaluation",
            name="level",
            field=models.FloatField(null=True),
        ),
    ]
