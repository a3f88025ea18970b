"""Addresses of the pages of training files and fine-tuned models."""

from django.urls import path

from fine_tuning.views import data, models

urlpatterns = [
    path("data/", data.file_list, name="data_files"),
    path("data/<slug:file_id>/", data.file_page, name="data_file"),
    path("data/<slug:file_id>/prepare/", data.prepare, name="prepare_file"),
    path("data/<slug:file_id>/content/", data.content, name="data_content"),
    path("data/<slug:file_id>/delete/", data.delete, name="delete_file"),
    path("models/", models.job_list, name="own_models"),
    path("models/new/", models.create, name="new_model"),
    path("models/estimate/", models.estimate_part, name="model_estimate"),
    path("models/<slug:job_id>/", models.job_page, name="own_model"),
    path("models/<slug:job_id>/part/", models.job_part, name="own_model_part"),
    path("models/<slug:job_id>/cancel/", models.cancel, name="cancel_model"),
    path("models/<slug:job_id>/pause/", models.pause, name="pause_model"),
    path("models/<slug:job_id>/resume/", models.resume, name="resume_model"),
    path("models/<slug:job_id>/delete/", models.delete, name="delete_model"),
    path("models/<slug:job_id>/share/", models.share, name="share_model"),
    path("models/<slug:job_id>/talk/", models.talk, name="talk_with_model"),
    path("models/<slug:job_id>/download/", models.download, name="download_model"),
]
