"""The moderators' pages: hide, undo and suspend."""

from datetime import timedelta

from django.utils import timezone

from accounts.models import AuditEntry


def test_the_pages_hide_and_undo(reply, moderator, signed_in):
    client = signed_in(moderator)
    assert "Something rude." in client.get("/moderation/").content.decode()
    asked = client.get(f"/moderation/message/{reply.pk}/hide/").content.decode()
    assert "What will happen" in asked
    assert "sees a notice instead of it" in asked
    refused = client.post(f"/moderation/message/{reply.pk}/hide/", {"reason": " "})
    assert refused.status_code == 400
    assert not AuditEntry.objects.filter(verb="text.hide").exists()
    assert client.post(f"/moderation/message/{reply.pk}/hide/", {"reason": "rude"}).status_code == 302
    reply.refresh_from_db()
    assert reply.hidden_at
    entry = AuditEntry.objects.get(verb="text.hide")
    page = client.get(f"/moderation/message/{reply.pk}/").content.decode()
    assert f"/moderation/undo/{entry.pk}/" in page
    response = client.post(f"/moderation/undo/{entry.pk}/?kind=message&pk={reply.pk}", {"reason": "mistake"})
    assert response.headers["Location"] == f"/moderation/message/{reply.pk}/"
    reply.refresh_from_db()
    assert reply.hidden_at is None
    again = client.post(f"/moderation/undo/{entry.pk}/?kind=message&pk=//evil.example", {"reason": "twice"})
    assert again.status_code == 409
    assert 'href="/moderation/">Cancel' in again.content.decode()


def test_the_page_suspends_until_a_day(reply, carl, moderator, signed_in):
    client = signed_in(moderator)
    day = timezone.localdate() + timedelta(days=3)
    address = f"/moderation/message/{reply.pk}/suspend/"
    late = client.post(address, {"reason": "rude", "until": "2020-01-01"})
    assert late.status_code == 400
    assert client.post(address, {"reason": "rude", "until": day.isoformat()}).status_code == 302
    carl.refresh_from_db()
    assert timezone.localdate(carl.suspended_until) == day
    assert "suspended until" in client.get(f"/moderation/message/{reply.pk}/").content.decode()
