from django.db import migrations, models

ENGLISH = "smollm2"
"""Of the models that a site of 0.1 fetched by itself, the one whose language is known."""


def of_known_bases(apps, schema_editor):
    policies = apps.get_model("chat", "Policy").objects
    bases = policies.filter(base=None, is_scripted=False, source__icontains=ENGLISH)
    spoken = set(bases.values_list("pk", flat=True))
    while found := set(policies.filter(base__in=spoken).exclude(pk__in=spoken).values_list("pk", flat=True)):
        spoken |= found
    policies.filter(pk__in=spoken).update(languages=["en"])


class Migration(migrations.Migration):
    dependencies = [
        ("chat", "0007_batches_of_programs"),
    ]

    operations = [
        migrations.AddField(
            model_name="policy",
            name="languages",
            field=models.JSONField(blank=True, default=list, verbose_name="languages"),
        ),
        migrations.RunPython(of_known_bases, migrations.RunPython.noop),
    ]
