"""Addresses of the API, without slashes at their ends, and of the pages that speak of it."""

from django.urls import include, path

from api.views import missing

v1 = [
    path("<path:rest>", missing.missing, name="missing"),
]

urlpatterns = [
    path("v1/", include((v1, "v1"))),
]
