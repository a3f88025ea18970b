"""Addresses of sign-in, one's own account, notices, API keys and the audit log."""

from django.urls import path

from accounts.views import audit_log, consent, keys, notices, own_account, sign_in

urlpatterns = [
    path("sign-in/", sign_in.SignIn.as_view(), name="sign_in"),
    path("sign-up/", sign_in.sign_up, name="sign_up"),
    path("sign-out/", sign_in.sign_out, name="sign_out"),
    path("account/", own_account.account, name="account"),
    path("account/data/", own_account.my_data, name="my_data"),
    path("account/delete/", own_account.delete_account, name="delete_account"),
    path("account/keep/", own_account.keep_account, name="keep_account"),
    path("account/consent/", consent.consent, name="consent"),
    path("account/keys/", keys.own_keys, name="api_keys"),
    path("account/keys/<int:key_id>/revoke/", keys.revoke_key, name="revoke_key"),
    path("account/notices/", notices.choose_notices, name="choose_notices"),
    path("notices/", notices.notice_list, name="notices"),
    path("notices/bell/", notices.bell, name="bell"),
    path("notices/read/", notices.read_all_notices, name="read_all_notices"),
    path("notices/<int:notice_id>/open/", notices.open_notice, name="open_notice"),
    path("notices/<int:notice_id>/read/", notices.read_notice, name="read_notice"),
    path("site/consent/", consent.edit_consent, name="edit_consent"),
    path("site/keys/", keys.all_keys, name="all_keys"),
    path("password/", sign_in.PasswordChange.as_view(), name="password_change"),
    path("language/", sign_in.set_language, name="set_language"),
    path("appearance/", sign_in.set_theme, name="set_theme"),
    path("audit-log/", audit_log.audit_log, name="audit_log"),
]
