"""Pages of policies and evaluations, for whoever is signed in; trial, gate, promotion and force by admins."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.models import User
from chat import languages, policies, site_choices
from chat.engines import loading
from chat.errors import BadPolicy
from chat.models import Policy
from rlhf import candidacy, labels, lineage, visibility
from rlhf.errors import RlhfError
from rlhf.forms import CanaryForm, ForceForm
from rlhf.models import Run
from rlhf.release import conditions, judge_facts, promotion, samples, trial
from rlhf.views import canaries
from rlhf.views.overview import user_of

SAMPLES = 32
VLLM_RANKS = (8, 16, 32, 64, 128, 256)
"""What its --max-lora-rank can be."""


@require_GET
def policy_list(request: HttpRequest) -> HttpResponse:
    rows = visibility.policies_for(user_of(request)).select_related("base")
    page = Paginator(rows, 20).get_page(request.GET.get("page"))
    return render(request, "rlhf/policies.html", {"page": page})


@require_GET
def policy_page(request: HttpRequest, name: str) -> HttpResponse:
    reader = user_of(request)
    seen = visibility.policies_for(reader)
    policy = get_object_or_404(seen.select_related("base", "owner"), name=name)
    run = policy.runs.filter(kind__in=Run.MAKERS).select_related("snapshot", "parent", "reward_model").first()
    context = {
        "policy": policy,
        "run": run,
        "lineage": lineage.lineage(policy),
        "evaluations": policy.evaluations.filter(baseline__in=seen).select_related("baseline").order_by("-pk"),
        "promotions": policy.promotions.select_related("previous", "actor"),
        "descendants": seen.filter(base=policy),
        "replies": policy.replies.count(),
        "spoken": [(code, languages.name_of(code)) for code in policy.languages],
        "engine": "" if policy.retired_at else loading.title_of(policy),
        "served": policies.served(policy),
        **_adapter(policy),
        "force_form": ForceForm(),
        "passed": promotion.passed_decision(policy),
        "canary": canaries.shown(policy.canaries.all()),
        "canary_form": CanaryForm(),
        **_beside_others(policy, reader),
    }
    return render(request, "rlhf/policy.html", context)


def _adapter(policy: Policy) -> dict[str, object]:
    """The adapter of a policy that has one, the policy that it changes, and where they are for who may serve them."""
    found = policies.adapter(policy)
    if found is None:
        return {}
    try:
        root = lineage.adapter_root(policy)
    except BadPolicy:
        return {"adapter": found}
    return {
        "adapter": found,
        "adapter_root": root,
        "root_directory": policies.directory(root),
        "max_lora_rank": next((rank for rank in VLLM_RANKS if rank >= found.rank), found.rank),
    }


def _beside_others(policy: Policy, reader: User) -> dict[str, object]:
    """What rlhf/trial.html shows: how people in the chat chose between its replies and those of others."""
    seen = set(visibility.policies_for(reader).values_list("pk", flat=True))
    records = [record for record in trial.records(policy) if record.against.pk in seen]
    return {"records": records, "percent_of_turns": site_choices.get().side_by_side_percent}


@require_POST
def put_on_trial(request: HttpRequest, name: str) -> HttpResponse:
    """`is_on`: on puts the policy beside the live one, anything else ends that."""
    policy = get_object_or_404(Policy, name=name)
    try:
        if request.POST.get("is_on") == "on":
            trial.begin(policy, actor=user_of(request))
            messages.success(request, _("The trial of %(policy)s starts with the next turn.") % {"policy": name})
        else:
            trial.end(policy, actor=user_of(request))
            messages.success(request, _("The trial of %(policy)s has ended.") % {"policy": name})
    except RlhfError as error:
        messages.error(request, str(error))
    return redirect("policy", name)


@require_POST
def change_languages(request: HttpRequest, name: str) -> HttpResponse:
    """`languages`: codes, separated by commas; none where nobody knows."""
    policy = get_object_or_404(Policy, name=name)
    try:
        codes = languages.read(request.POST.get("languages", ""))
    except languages.BadLanguage as error:
        words = _("“%(code)s” is no code of a language. Examples of codes: en, ko, zh-hans.")
        messages.error(request, words % {"code": error})
    else:
        languages.change(user_of(request), policy, codes)
        messages.success(request, _("Saved. The chat suggests and warns accordingly."))
    return redirect("policy", name)


@require_GET
def evaluation_page(request: HttpRequest, pk: int) -> HttpResponse:
    reader = user_of(request)
    rows = visibility.evaluations_for(reader).select_related(
        "policy", "baseline", "run__snapshot", "run__parent", "run__reward_model"
    )
    evaluation = get_object_or_404(rows, pk=pk)
    report = evaluation.report
    controls, decision = report.get("controls") or {}, evaluation.newest_decision()
    shown = [] if evaluation.is_blind else samples.readable(report, reader)[:SAMPLES]
    context = {
        "evaluation": evaluation,
        "report": report,
        "decision": decision,
        "conditions": conditions.of_decision(decision) if decision is not None else [],
        "budget": conditions.budget(decision),
        "is_complete": decision is not None and conditions.is_complete(decision),
        "promoted": evaluation.policy.promotions.first() if evaluation.policy.is_live else None,
        "judge": judge_facts.facts(evaluation),
        "qualification": judge_facts.qualification(report),
        "trained_against": judge_facts.reward_model_facts(evaluation),
        "controls": [(label, controls.get(key) or {}) for key, label in labels.CONTROLS.items()],
        "figures": [(label, report[key]) for key, label in labels.FIGURES.items() if key in report],
        "samples": shown,
        "has_base": any("base" in sample for sample in shown),
        "is_simulated": evaluation.run.is_simulated,
        "people": report.get("people"),
        "demonstration": labels.DEMONSTRATION,
        "force_form": ForceForm(),
        **_beside_others(evaluation.policy, reader),
    }
    return render(request, "rlhf/evaluation.html", context)


@require_POST
def ask_gate(request: HttpRequest, name: str) -> HttpResponse:
    policy = get_object_or_404(Policy.objects.select_related("base"), name=name)
    try:
        run = candidacy.put_before_gate(policy, actor=user_of(request))
    except RlhfError as error:
        messages.error(request, str(error))
        return redirect("policy", name)
    return redirect("run", run.pk)


@require_POST
def promote(request: HttpRequest, name: str) -> HttpResponse:
    """Promotes a policy that passed the gate; any other is refused, and may be forced."""
    policy = get_object_or_404(Policy, name=name)
    decision = promotion.passed_decision(policy)
    if decision is None:
        messages.error(request, _("%(policy)s did not pass the gate against the live policy.") % {"policy": name})
        return redirect("policy", name)
    try:
        made = promotion.promote(decision, actor=user_of(request))
    except RlhfError as error:
        messages.error(request, str(error))
        return redirect("policy", name)
    messages.success(request, made.announcement())
    return redirect("training")


@require_POST
def force(request: HttpRequest, name: str) -> HttpResponse:
    policy = get_object_or_404(Policy, name=name)
    form = ForceForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Give a reason and confirm that you take responsibility."))
        return redirect("policy", name)
    try:
        made = promotion.force(policy, actor=user_of(request), reason=form.cleaned_data["reason"])
    except RlhfError as error:
        messages.error(request, str(error))
        return redirect("policy", name)
    messages.success(request, made.announcement())
    return redirect("training")
