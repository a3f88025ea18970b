"""The prices of OpenAI in March 2023, in micro-dollars per 1,000 tokens."""

from django.db import migrations

PRICES = {
    "gpt-3.5-turbo": (0, 2_000, 2_000),
    "gpt-4": (0, 30_000, 60_000),
    "gpt-4-32k": (0, 60_000, 120_000),
    "ada": (400, 1_600, 1_600),
    "babbage": (600, 2_400, 2_400),
    "curie": (3_000, 12_000, 12_000),
    "davinci": (30_000, 120_000, 120_000),
}


def add(apps, schema_editor):
    price = apps.get_model("metering", "Price")
    for model, (training, prompt, completion) in PRICES.items():
        price.objects.get_or_create(
            model=model, defaults={"training": training, "prompt": prompt, "completion": completion}
        )


class Migration(migrations.Migration):
    dependencies = [("metering", "0001_initial")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
