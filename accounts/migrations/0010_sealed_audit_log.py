"""Numbers the audit log's entries and seals them with the key that is not in the database."""

import hashlib
import json

from django.db import migrations, models, transaction
from django.utils import timezone

from accounts import audit_heads
from accounts.audit_seals import seal_of


def broken_entries(entries):
    """Ids of entries whose hash, made without a key, does not match, oldest first."""
    broken, previous = [], ""
    for entry in entries.order_by("id").iterator():
        if entry.previous_hash != previous or entry.hash != _former_hash(entry):
            broken.append(entry.pk)
        previous = entry.hash
    return broken


def _former_hash(entry):
    fields = [
        entry.at.isoformat(),
        entry.actor_id,
        entry.verb,
        entry.target,
        entry.reason,
        entry.before,
        entry.after,
        entry.undoes_id,
        entry.previous_hash,
    ]
    return hashlib.sha256(json.dumps(fields, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def seal(apps, schema_editor):
    """What was broken before stays told, by an entry at the end: new seals would hide it."""
    AuditEntry = apps.get_model("accounts", "AuditEntry")
    entries = AuditEntry.objects.using(schema_editor.connection.alias)
    broken, previous, number = broken_entries(entries), "", 0
    for number, entry in enumerate(entries.order_by("id").iterator(), start=1):
        entry.sequence, entry.previous_hash = number, previous
        entry.hash = previous = seal_of(entry)
        entry.save(update_fields=["sequence", "previous_hash", "hash"])
    if not number:
        return
    found = {"entries": number, "broken": len(broken), "first_broken": broken[:50]}
    last = AuditEntry(sequence=number + 1, at=timezone.now(), verb="audit.seal", target="accounts.auditentry:", before={},
                      after=found, previous_hash=previous)
    last.hash = seal_of(last)
    last.save(using=schema_editor.connection.alias)
    transaction.on_commit(lambda: audit_heads.write(last.sequence, last.hash), using=schema_editor.connection.alias)
    schema_editor.connection.check_constraints()  # PostgreSQL alters no table while checks of its rows are due


class Migration(migrations.Migration):
    dependencies = [("accounts", "0009_consent")]

    operations = [
        migrations.CreateModel(
            name="AuditCheck",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                ("sequence", models.PositiveBigIntegerField()),
                ("seal", models.CharField(blank=True, max_length=64)),
                ("faults", models.JSONField(default=list)),
                ("signature", models.CharField(max_length=64)),
            ],
        ),
        migrations.AddField(
            "auditentry", "sequence", models.PositiveBigIntegerField(null=True, verbose_name="number")
        ),
        migrations.RunPython(seal, migrations.RunPython.noop),
        migrations.AlterField(
            "auditentry", "sequence", models.PositiveBigIntegerField(unique=True, verbose_name="number")
        ),
        migrations.AlterModelOptions(
            "auditentry",
            {"ordering": ["-sequence"], "verbose_name": "audit entry", "verbose_name_plural": "audit log"},
        ),
    ]
