"""Names of 2023, each for whichever policy is live until an admin says otherwise."""

from django.db import migrations

NAMES = (
    "ada",
    "babbage",
    "curie",
    "davinci",
    "text-davinci-003",
    "gpt-3.5-turbo",
    "gpt-4",
    "gpt-4-32k",
)


def add(apps, schema_editor):
    alias = apps.get_model("api", "Alias")
    for name in NAMES:
        alias.objects.get_or_create(name=name)


class Migration(migrations.Migration):
    dependencies = [("api", "0001_initial")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
