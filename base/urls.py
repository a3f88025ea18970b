"""Addresses of the health checks, which load balancers and `manage.py run_site` ask, and of the web app manifest."""

from django.urls import path

from base import health, manifest

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("app.webmanifest", manifest.manifest, name="manifest"),
]
