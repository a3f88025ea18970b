"""URLs of ranking, reporting, rules and moderation."""

from django.urls import path

from feedback.views import comparing, moderation, ranking, reacting, reporting, rules

urlpatterns = [
    path("rank/", ranking.rank, name="rank"),
    path("rank/<int:task_id>/submit/", ranking.submit_ranking, name="submit_ranking"),
    path("rank/<int:task_id>/draft/", ranking.save_draft, name="save_draft"),
    path("rank/<int:task_id>/skip/", ranking.skip_task, name="skip_task"),
    path("rank/mine/", ranking.my_rankings, name="my_rankings"),
    path("rank/mine/<int:ranking_id>/withdraw/", ranking.withdraw_ranking, name="withdraw_ranking"),
    path("rank/languages/", ranking.choose_languages, name="judging_languages"),
    path("rank/guidelines/", ranking.guidelines, name="guidelines"),
    path("messages/<int:message_id>/report/", reporting.report_message, name="report_message"),
    path("messages/<int:message_id>/thumb/", reacting.thumb, name="thumb"),
    path(
        "messages/<int:message_id>/flags/<int:version_id>/take-back/", reacting.take_back_flag, name="take_back_flag"
    ),
    path("pairs/<int:pair_id>/choose/", comparing.choose, name="choose_reply"),
    path("pairs/<int:pair_id>/give-up/", comparing.give_up, name="give_up_pair"),
    path("side-by-side/", comparing.side_by_side, name="side_by_side"),
    path("rules/", rules.rule_list, name="rules"),
    path("rules/<slug:key>/", rules.edit_rule, name="edit_rule"),
    path("rules/<slug:key>/switch/", rules.switch_rule, name="switch_rule"),
    path("rules/<slug:key>/phrases/add/", rules.add_phrase, name="add_phrase"),
    path("rules/<slug:key>/phrases/<int:phrase_id>/remove/", rules.remove_phrase, name="remove_phrase"),
    path("moderation/", moderation.moderation_queue, name="moderation"),
    path("moderation/undo/<int:entry_id>/", moderation.undo_moderation, name="undo_moderation"),
    path("moderation/<slug:kind>/<int:pk>/", moderation.moderation_item, name="moderation_item"),
    path("moderation/<slug:kind>/<int:pk>/<slug:verb>/", moderation.moderate, name="moderate"),
]
