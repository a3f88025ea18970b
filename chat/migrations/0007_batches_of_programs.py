from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("chat", "0005_called_by_names")]

    operations = [
        migrations.AddField(
            model_name="ticket",
            name="is_batch",
            field=models.BooleanField(default=False),
        ),
    ]
