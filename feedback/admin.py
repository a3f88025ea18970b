"""Read-only admin pages of judgements and rules: they are evidence, and change only where the change is recorded."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from base.admin import ReadOnlyAdmin, ReadOnlyInline
from feedback.models import (
    Comparison,
    Completion,
    Prompt,
    Ranking,
    RankingTask,
    Report,
    Rule,
    RuleVersion,
    SimulatedAnnotator,
    Skip,
    Thumb,
    Violation,
)


class VersionInline(ReadOnlyInline):
    model = RuleVersion
    fields = ("number", "name_en", "text_en", "created_at", "created_by")


@admin.register(Rule)
class RuleAdmin(ReadOnlyAdmin):
    list_display = ("key", "group", "is_on", "position")
    list_filter = ("group", "is_on")
    search_fields = ("key", "versions__text_en", "versions__text_ko")
    inlines = (VersionInline,)


@admin.register(RuleVersion)
class RuleVersionAdmin(ReadOnlyAdmin):
    list_display = ("rule", "number", "name_en", "name_ko", "created_at", "created_by")
    list_filter = ("rule",)


@admin.register(Prompt)
class PromptAdmin(ReadOnlyAdmin):
    list_display = ("id", "last_turn", "source", "split", "elicits", "language")
    list_filter = ("source", "split", "language", "elicits")

    @admin.display(description=_("last turn"))
    def last_turn(self, prompt: Prompt) -> str:
        return str(prompt.messages[-1]["content"])[:100]


class CompletionInline(ReadOnlyInline):
    model = Completion
    fields = ("index", "text", "finish_reason", "never_train", "hidden_at", "parameters")


@admin.register(RankingTask)
class RankingTaskAdmin(ReadOnlyAdmin):
    list_display = ("id", "state", "policy", "leased_to", "lease_until", "created_at")
    list_filter = ("state", "policy")
    list_select_related = ("policy", "leased_to")
    inlines = (CompletionInline,)


@admin.register(Ranking)
class RankingAdmin(ReadOnlyAdmin):
    list_display = ("id", "annotator", "task", "is_simulated", "seconds", "created_at", "withdrawn_at")
    list_filter = ("is_simulated", "created_at")
    list_select_related = ("annotator", "task")
    search_fields = ("annotator__username", "comment")
    date_hierarchy = "created_at"


@admin.register(Comparison)
class ComparisonAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "choice",
        "discounted",
        "annotator",
        "is_simulated",
        "seconds",
        "created_at",
        "withdrawn_at",
    )
    list_filter = ("choice", "discounted", "is_simulated", "created_at")
    list_select_related = ("annotator",)
    search_fields = ("annotator__username",)
    date_hierarchy = "created_at"


@admin.register(Thumb)
class ThumbAdmin(ReadOnlyAdmin):
    list_display = ("id", "is_up", "reasons", "comment", "person", "created_at")
    list_filter = ("is_up", "created_at")
    list_select_related = ("person",)
    search_fields = ("person__username", "comment")


@admin.register(Violation)
class ViolationAdmin(ReadOnlyAdmin):
    list_display = ("id", "rule_version", "is_violation", "annotator", "is_simulated", "created_at")
    list_filter = ("is_violation", "is_simulated", "rule_version__rule")
    list_select_related = ("rule_version__rule", "annotator")
    search_fields = ("annotator__username",)


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin):
    list_display = ("id", "state", "rule_version", "reporter", "created_at", "closed_at")
    list_filter = ("state", "rule_version__rule")
    list_select_related = ("rule_version__rule", "reporter")
    search_fields = ("reporter__username", "comment")


@admin.register(Skip)
class SkipAdmin(ReadOnlyAdmin):
    list_display = ("task", "annotator", "reason", "created_at")
    list_filter = ("reason",)


@admin.register(SimulatedAnnotator)
class SimulatedAnnotatorAdmin(ReadOnlyAdmin):
    list_display = ("user", "preference", "noise", "held_out_noise", "tie_margin", "seed", "created_at")
