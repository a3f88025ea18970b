"""Nobody changes the audit log unseen who writes into the database alone, and its writers stand in one order."""

import json
import threading

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.db.models import F

from accounts import audit_checks, audit_heads
from accounts.audit import record
from accounts.audit_seals import seal_of
from accounts.models import AuditCheck, AuditEntry
from accounts.roles import Role
from accounts.tasks import check_audit_log
from tests.accounts.audit_faults import faults

WRITERS, ACTS = 6, 200


@pytest.fixture
def log(person):
    """Six entries, with their heads."""
    moderator = person("mod", Role.MODERATOR)
    with transaction.atomic():
        for number in range(6):
            entry = record(moderator, "text.hide", moderator, reason=f"reason {number}", after={"hidden": True})
            audit_heads.write(entry.sequence, entry.hash)  # as on_commit, which a test's own transaction never does
    return AuditEntry.objects.order_by("sequence")


@pytest.mark.django_db(transaction=True)
def test_many_writers_stand_in_one_order(person):
    actor, failed = person("mod", Role.MODERATOR), []

    def write(writer):
        try:
            for number in range(ACTS):
                with transaction.atomic():
                    record(actor, "text.hide", actor, reason=f"{writer}-{number}")
        except Exception as error:
            failed.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    result = audit_checks.verify()
    assert (result.entries, faults(result)) == (WRITERS * ACTS, [])
    assert set(result.places.values()) == {WRITERS * ACTS}


@pytest.mark.parametrize(
    "change",
    [
        "reason = 'kind words'",
        "actor_id = NULL",
        "target = 'chat.message:99'",
        "verb = 'text.restore'",
        "\"at\" = '2020-01-01 00:00:00+00:00'",
        "hash = '0' || substr(hash, 2, 62) || 'z'",
    ],
)
def test_a_changed_row_is_found(log, change):
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE accounts_auditentry SET {change} WHERE sequence = 3")  # noqa: S608
    assert ("changed", 3) in faults()


def test_removed_rows_are_found_wherever_they_stood(log):
    log.filter(sequence__in=(1, 4)).delete()
    assert faults() == [("missing", 2), ("missing", 5)]


def test_a_log_without_its_last_entries_is_found(log):
    log.filter(sequence__gte=5).delete()
    assert faults() == [("cut", 6)]


def test_an_emptied_log_is_found(log):
    log.all().delete()
    assert faults() == [("cut", 6)]


def test_exchanged_entries_are_found(log):
    log.filter(sequence=2).update(sequence=99)
    log.filter(sequence=3).update(sequence=2)
    log.filter(sequence=99).update(sequence=3)
    assert {("changed", 2), ("changed", 3)} <= set(faults())


def test_numbers_closed_over_a_gap_are_found(log):
    log.filter(sequence=3).delete()
    for number in (4, 5, 6):
        log.filter(sequence=number).update(sequence=F("sequence") - 1)
    assert ("changed", 3) in faults()


def test_an_entry_that_the_site_did_not_write_is_found(log):
    last = log.last()
    AuditEntry.objects.create(
        sequence=7, verb="text.hide", target="x:1", previous_hash=last.hash, hash="a" * 64, actor=last.actor
    )
    assert faults() == [("changed", 7)]


def test_a_log_rewritten_with_another_key_is_found(log, settings):
    keys, settings.AUDIT_KEYS = settings.AUDIT_KEYS, ["the key of somebody else, as long as it takes"]
    rewrite(log)
    settings.AUDIT_KEYS = keys
    assert [sequence for kind, sequence in faults() if kind == "changed"] == [1, 2, 3, 4, 5, 6]


def test_a_log_rewritten_with_the_site_s_own_key_is_found_by_the_heads(log):
    rewrite(log)
    assert [sequence for kind, sequence in faults() if kind == "rewritten"] == [1, 2, 3, 4, 5, 6]


def rewrite(log):
    previous = ""
    for entry in log:
        entry.reason, entry.previous_hash = "nothing happened", previous
        entry.hash = previous = seal_of(entry)
        entry.save()


def test_a_second_place_tells_what_the_first_forgot(log, settings, tmp_path):
    first, second = tmp_path / "heads", tmp_path / "elsewhere"
    settings.AUDIT_HEADS = [str(first), str(second)]
    audit_heads.write(6, log.last().hash)
    first.unlink()
    log.filter(sequence__gte=5).delete()
    assert faults() == [("cut", 6)]


def test_heads_that_somebody_else_wrote_do_not_count(log, settings, tmp_path):
    settings.AUDIT_HEADS = [str(tmp_path / "heads")]
    audit_heads.write(6, log.last().hash)
    with (tmp_path / "heads").open("a") as file:
        file.write(json.dumps([9, "f" * 64, "2030-01-01", False, "0" * 64]) + "\nhalf a li")
    assert audit_heads.read(tmp_path / "heads") == {6: log.last().hash}


def test_a_former_key_still_verifies(log, settings):
    settings.AUDIT_KEYS = ["the new key of this site, forty characters", *settings.AUDIT_KEYS]
    with transaction.atomic():
        record(None, "text.hide", log.last())
    assert faults() == []
    settings.AUDIT_KEYS = settings.AUDIT_KEYS[:1]
    assert len(faults()) == 6


def test_a_view_verifies_what_came_since_the_whole_check(log):
    assert check_audit_log() == 0
    with transaction.atomic():
        record(None, "text.hide", log.last())
    newest = audit_checks.verify_newest(audit_checks.last_whole_check())
    assert (newest.entries, faults(newest)) == (1, [])


def test_a_view_keeps_what_the_whole_check_found(log):
    log.filter(sequence=2).update(reason="other words")
    assert check_audit_log() == 1
    assert faults(audit_checks.verify_newest(audit_checks.last_whole_check())) == [("changed", 2)]


def test_a_whole_check_that_the_site_did_not_make_counts_for_nothing(log):
    log.filter(sequence=2).update(reason="other words")
    check_audit_log()
    AuditCheck.objects.update(faults=[])
    assert audit_checks.last_whole_check() is None
    assert faults(audit_checks.verify_newest(None)) == [("changed", 2)]


def test_a_change_of_an_old_entry_shows_where_it_is_shown(log, person, browser_of):
    check_audit_log()
    log.filter(sequence=2).update(reason="other words")
    page = browser_of(person("other", Role.MODERATOR)).get("/audit-log/").content.decode()
    assert "Entry 2 was changed" in page
    assert "up to entry 6" in page


def test_the_command_tells_a_sound_log_from_another(log, capsys):
    call_command("verify_audit")
    assert "6 entries, every seal intact" in capsys.readouterr().out
    log.filter(sequence=4).delete()
    with pytest.raises(CommandError, match="Entries before entry 5 are missing"):
        call_command("verify_audit")


def test_the_command_misses_heads_that_were_removed(log, settings, tmp_path):
    settings.AUDIT_HEADS = [*settings.AUDIT_HEADS, str(tmp_path / "gone")]
    with pytest.raises(CommandError, match="gone has no head"):
        call_command("verify_audit")


def test_after_a_backup_was_restored_the_former_end_is_missed_no_more(log):
    log.filter(sequence__gte=4).delete()
    assert faults() == [("cut", 6)]
    last = log.last()
    audit_heads.write(last.sequence, last.hash, is_restored=True)
    assert faults() == []
