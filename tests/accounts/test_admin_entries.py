"""Whatever an admin changes in Django's admin leaves an entry: every model that is registered there, every field."""

import pytest
from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import RequestFactory
from django.urls import reverse

from accounts.models import AuditEntry, User
from accounts.roles import Role
from tests.people import PASSWORD

pytestmark = pytest.mark.django_db
NEW_PASSWORD = "another one entirely"
CHANGED = {
    forms.BooleanField: lambda value: not value,
    forms.SplitDateTimeField: lambda value: ("2031-05-06", "07:08"),
    forms.ModelMultipleChoiceField: lambda value: [Group.objects.get_or_create(name="annotator")[0].pk],
    forms.TypedChoiceField: lambda value: "ko",
    forms.CharField: lambda value: f"{value}x",
}


@pytest.fixture
def boss(person):
    return person("boss", Role.ADMIN, is_staff=True, is_superuser=True)


def request_of(boss):
    request = RequestFactory().get("/admin/")
    request.user = boss
    return request


def changeable(boss):
    """The models of which Django's admin shows a form that may be sent."""
    request = request_of(boss)
    return {model: page for model, page in admin.site._registry.items() if page.has_change_permission(request)}


def form_of(page, row, boss):
    fields = page.get_form(request_of(boss), row, change=True)(instance=row)
    return {name: (field, fields[name].initial) for name, field in fields.fields.items() if not field.disabled}


def posted(name, field, value):
    if isinstance(field, forms.SplitDateTimeField):
        day, time = value if isinstance(value, tuple) else ("", "")
        return {f"{name}_0": day, f"{name}_1": time}
    if isinstance(field, forms.BooleanField):
        return {name: "on"} if value else {}
    return {name: "" if value is None else value}


def test_accounts_are_all_that_can_be_changed_there(boss):
    assert set(changeable(boss)) == {User}


def test_nothing_can_be_deleted_there(boss):
    request = request_of(boss)
    assert [model for model, page in admin.site._registry.items() if page.has_delete_permission(request)] == []


def test_every_field_that_changes_leaves_an_entry(boss, person, browser_of):
    client, page = browser_of(boss), admin.site._registry[User]
    person("a", Role.ANNOTATOR)
    names = [name for name in form_of(page, boss, boss) if name != "password"]
    assert {"username", "groups", "is_active", "is_superuser", "suspended_until", "suspended_reason"} <= set(names)
    for changed in names:
        row, data = person(f"person-{changed}"), {}
        for name, (field, value) in form_of(page, row, boss).items():
            if name == changed:
                value = next(new for kind, new in CHANGED.items() if isinstance(field, kind))(value)
            data |= posted(name, field, value)
        AuditEntry.objects.all().delete()
        assert client.post(reverse("admin:accounts_user_change", args=[row.pk]), data).status_code == 302, changed
        told = [entry for entry in AuditEntry.objects.all() if entry.before != entry.after]
        assert told, changed
        assert {(entry.actor, entry.target) for entry in told} == {(boss, f"accounts.user:{row.pk}")}


def test_a_password_that_an_admin_sets_leaves_an_entry(boss, person, browser_of):
    row = person("sora")
    data = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}
    assert browser_of(boss).post(f"/admin/accounts/user/{row.pk}/password/", data).status_code == 302
    assert [(entry.verb, entry.actor) for entry in AuditEntry.objects.all()] == [("user.password", boss)]


def test_a_password_that_an_admin_takes_away_leaves_an_entry(boss, person, browser_of):
    row = person("sora")
    data = {"password1": "", "password2": "", "usable_password": "false", "unset-password": "on"}
    assert browser_of(boss).post(f"/admin/accounts/user/{row.pk}/password/", data).status_code == 302
    row.refresh_from_db()
    assert not row.has_usable_password()
    assert [(entry.verb, entry.actor) for entry in AuditEntry.objects.all()] == [("user.password", boss)]


def test_one_s_own_new_password_leaves_an_entry(person, browser_of):
    sora = person("sora")
    data = {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    assert browser_of(sora).post("/password/", data).status_code == 302
    assert [(entry.verb, entry.actor) for entry in AuditEntry.objects.all()] == [("user.password", sora)]


def test_a_password_that_a_command_sets_leaves_an_entry_of_the_system(person):
    sora = person("sora")
    assert not AuditEntry.objects.exists()  # of a new account's first password
    sora.set_password(NEW_PASSWORD)
    sora.save()
    sora.save()
    assert [(entry.verb, entry.actor) for entry in AuditEntry.objects.all()] == [("user.password", None)]


def test_a_sign_in_that_hashes_the_password_anew_is_no_change_of_it(person, client, settings):
    person("sora")
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]
    client.post("/sign-in/", {"username": "sora", "password": PASSWORD})
    assert User.objects.get(username="sora").password.startswith("pbkdf2")
    assert not AuditEntry.objects.exists()


def test_a_group_cannot_be_renamed_there(boss, person, browser_of):
    group = person("mod", Role.MODERATOR).groups.get()
    response = browser_of(boss).post(f"/admin/auth/group/{group.pk}/change/", {"name": "others"})
    assert response.status_code == 403
