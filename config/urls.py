"""All URLs of the site; accounts.permissions.TABLE says which roles may open them."""

from django.contrib import admin
from django.urls import include, path

from config.backup.views import backups, make_backup, verify_backup

urlpatterns = [
    path("", include("base.urls")),
    path("", include("accounts.urls")),
    path("", include("metering.urls")),
    path("", include("chat.urls")),
    path("", include("feedback.urls")),
    path("", include("rlhf.urls")),
    path("", include("fine_tuning.urls")),
    path("lecture/", include("lecture.urls")),
    path("", include("api.urls")),
    path("site/backups/", backups, name="backups"),
    path("site/backups/make/", make_backup, name="make_backup"),
    path("site/backups/<str:name>/verify/", verify_backup, name="verify_backup"),
    path("admin/", admin.site.urls),
]

handler400 = "api.views.error_handlers.bad_request"
handler404 = "api.views.error_handlers.page_not_found"
handler500 = "api.views.error_handlers.server_error"
