"""Admin pages show what people did and let nobody change it."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group

from accounts.models import User
from base.admin import ReadOnlyAdmin

CHANGED_BY_ADMINS = {User, Group}


@pytest.mark.parametrize(
    "model", sorted(set(admin.site._registry) - CHANGED_BY_ADMINS, key=lambda model: model._meta.label)
)
def test_not_even_an_admin_changes_rows_by_hand(rf, model):
    page, request = admin.site._registry[model], rf.get("/admin/")
    request.user = User(is_superuser=True)
    assert page.has_view_permission(request)
    assert not page.has_add_permission(request)
    assert not page.has_change_permission(request)
    assert not page.has_delete_permission(request)
    if isinstance(page, ReadOnlyAdmin):
        assert all(not inline.has_change_permission(request) for inline in page.get_inline_instances(request))
