from django.urls import path

from accounts import key_pages, own_account, views
from base import health

urlpatterns = [
    path("sign-in/", views.SignIn.as_view(), name="sign_in"),
    path("sign-up/", views.sign_up, name="sign_up"),
    path("sign-out/", views.sign_out, name="sign_out"),
    path("account/", own_account.account, name="account"),
    path("account/data/", own_account.my_data, name="my_data"),
    path("account/delete/", own_account.delete_account, name="delete_account"),
    path("account/keep/", own_account.keep_account, name="keep_account"),
    path("account/keys/", key_pages.own_keys, name="api_keys"),
    path("account/keys/<int:key_id>/revoke/", key_pages.revoke_key, name="revoke_key"),
    path("site/keys/", key_pages.all_keys, name="all_keys"),
    path("password/", views.PasswordChange.as_view(), name="password_change"),
    path("language/", views.set_language, name="set_language"),
    path("audit-log/", views.audit_log, name="audit_log"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
]
