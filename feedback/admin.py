"""Read-only admin pages of judgements and rules: they are evidence, and change only where the change is recorded."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from base.admin import ReadOnlyAdmin, ReadOnlyInline
from feedback.models import (
    Assignment,
    Comparison,
    Completion,
    Import,
    ImportedAnnotator,
    Probe,
    Project,
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


class AssignmentInline(ReadOnlyInline):
    model = Assignment
    fields = ("annotator", "since", "lease_until")


@admin.register(RankingTask)
class RankingTaskAdmin(ReadOnlyAdmin):
    list_display = ("id", "project", "state", "overlap", "policy", "created_at")
    list_filter = ("state", "project", "policy")
    list_select_related = ("policy", "project")
    inlines = (CompletionInline, AssignmentInline)


@admin.register(Project)
class ProjectAdmin(ReadOnlyAdmin):
    list_display = ("key", "title", "state", "overlap", "deadline", "created_at")
    list_filter = ("state",)


@admin.register(Probe)
class ProbeAdmin(ReadOnlyAdmin):
    list_display = ("id", "policy", "rule", "is_benign", "state", "prober", "is_fresh", "handed_over_at")
    list_filter = ("state", "is_benign", "policy", "rule")
    list_select_related = ("policy", "rule", "prober")


@admin.register(Ranking)
class RankingAdmin(ReadOnlyAdmin):
    list_display = ("id", "annotator", "task", "is_simulated", "imported", "seconds", "created_at", "withdrawn_at")
    list_filter = ("is_simulated", "imported__format", "created_at")
    list_select_related = ("annotator", "task", "imported")
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
    list_display = ("id", "rule_version", "is_violation", "annotator", "is_simulated", "imported", "created_at")
    list_filter = ("is_violation", "is_simulated", "imported__format", "rule_version__rule")
    list_select_related = ("rule_version__rule", "annotator", "imported")
    search_fields = ("annotator__username",)


@admin.register(Import)
class ImportAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "name",
        "format",
        "rankings",
        "flags",
        "thumbs",
        "lines_left_out",
        "created_by",
        "created_at",
    )
    list_filter = ("format", "project", "created_at")


@admin.register(ImportedAnnotator)
class ImportedAnnotatorAdmin(ReadOnlyAdmin):
    list_display = ("user", "source", "key", "created_at")
    list_filter = ("source",)
    list_select_related = ("user",)


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
