from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("chat", "0011_share_of_chats")]

    operations = [
        migrations.AddField(
            model_name="sitechoices",
            name="system_prompt",
            field=models.TextField(blank=True, default=None, null=True, verbose_name="instructions to the model"),
        ),
    ]
