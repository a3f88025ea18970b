"""URLs of the training pages."""

from django.urls import path

from rlhf.views import canaries, comparison, lineage, overview, policies, promotions, report_files, runs

urlpatterns = [
    path("messages/<int:message_id>/lineage/", lineage.reply_page, name="lineage"),
    path("c/<uuid:conversation_id>/uses/", lineage.conversation_page, name="conversation_uses"),
    path("training/", overview.overview, name="training"),
    path("training/under-way/", overview.under_way, name="training_under_way"),
    path("training/needs.json", overview.needs, name="training_needs"),
    path("training/start/", overview.start, name="start_cycle"),
    path("training/roll-back/", overview.roll_back, name="roll_back"),
    path("training/promotions/<int:pk>/", promotions.promotion_page, name="promotion"),
    path("training/runs/", runs.run_list, name="runs"),
    path("training/compare/", comparison.compare_page, name="compare_runs"),
    path("training/runs/<int:pk>/", runs.run_page, name="run"),
    path("training/runs/<int:pk>/part/", runs.run_part, name="run_part"),
    path("training/runs/<int:pk>/metrics.json", runs.run_metrics, name="run_metrics"),
    path("training/runs/<int:pk>/cancel/", runs.cancel, name="cancel_run"),
    path("training/runs/<int:pk>/decide/", runs.decide, name="decide_run"),
    path("training/runs/<int:pk>/resume/", runs.resume, name="resume_run"),
    path("training/policies/", policies.policy_list, name="policies"),
    path("training/policies/<slug:name>/", policies.policy_page, name="policy"),
    path("training/policies/<slug:name>/force/", policies.force, name="force_policy"),
    path("training/policies/<slug:name>/gate/", policies.ask_gate, name="ask_gate"),
    path("training/policies/<slug:name>/promote/", policies.promote, name="promote_policy"),
    path("training/policies/<slug:name>/trial/", policies.put_on_trial, name="put_on_trial"),
    path("training/policies/<slug:name>/canary/", canaries.switch, name="canary"),
    path("training/policies/<slug:name>/languages/", policies.change_languages, name="policy_languages"),
    path("training/evaluations/<int:pk>/", policies.evaluation_page, name="evaluation"),
    path("training/evaluations/<int:pk>/report.html", report_files.html, name="evaluation_html"),
    path("training/evaluations/<int:pk>/report.json", report_files.as_json, name="evaluation_json"),
    path("training/evaluations/recompute.py", report_files.recompute, name="evaluation_recompute"),
]
