from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("rlhf", "0005_waiting_for_people"),
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
