"""Addresses of the health checks, which load balancers and `manage.py run_site` ask."""

from django.urls import path

from base import health

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
]
