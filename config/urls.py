"""All URLs of the site; accounts.permissions.TABLE says which roles may open them."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("base.urls")),
    path("", include("accounts.urls")),
    path("", include("metering.urls")),
    path("", include("chat.urls")),
    path("", include("feedback.urls")),
    path("", include("rlhf.urls")),
    path("", include("fine_tuning.urls")),
    path("", include("api.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "api.views.error_handlers.bad_request"
handler404 = "api.views.error_handlers.page_not_found"
handler500 = "api.views.error_handlers.server_error"
