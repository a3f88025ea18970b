"""Resolves the model names that programs send: an alias, a policy's name, a fine-tune's label, or `live`."""

from dataclasses import dataclass
from typing import Any

from accounts.models import User
from api.errors import forbidden, no_model
from api.models import Alias
from chat import policies
from chat.models import Policy

LIVE = "live"
OURS = "chamsae"
"""The `owned_by` of models that belong to the site."""


@dataclass(frozen=True)
class NamedModel:
    """`policy` is None for whichever is live when the request is answered."""

    name: str
    policy: Policy | None


def resolve(person: User, name: str) -> NamedModel:
    """Raises the same ApiError for an unknown model and for one that the person may not see."""
    if "\0" in name:  # databases refuse it in a query
        raise no_model(name)
    if name == LIVE:
        return NamedModel(name, None)
    visible = policies.visible_to(person)
    alias = Alias.objects.filter(name=name).first()
    if alias is not None and alias.policy_id is None:
        return NamedModel(name, None)
    if alias is not None and alias.policy_id is not None:
        policy = visible.filter(pk=alias.policy_id).first()
    else:
        labelled = visible.filter(label=name).exclude(label="").order_by("-version")
        policy = visible.filter(name=name).first() or labelled.first()
    if policy is None:
        raise no_model(name)
    return NamedModel(name, policy)


def list_models(person: User) -> list[dict[str, Any]]:
    """Every name that the person may use, as `GET /v1/models` shows it."""
    visible = list(policies.visible_to(person).select_related("owner").order_by("version"))
    ids = {policy.pk for policy in visible}
    live = next((policy for policy in visible if policy.is_live), None)
    aliases = [alias for alias in Alias.objects.all() if alias.policy_id is None or alias.policy_id in ids]
    by_name = {policy.label or policy.name: _shown(policy.label or policy.name, policy) for policy in visible}
    by_name |= {alias.name: _alias_shown(alias) for alias in aliases}
    return [*([_shown(LIVE, live)] if live else []), *by_name.values()]


def describe(person: User, name: str) -> dict[str, Any]:
    """The model of that name, as `GET /v1/models/{model}` shows it. Raises ApiError."""
    found = resolve(person, name)
    alias = Alias.objects.filter(name=name).first()
    return _alias_shown(alias) if alias else _shown(name, found.policy or policies.live())


def _shown(name: str, policy: Policy) -> dict[str, Any]:
    owner = policy.owner.get_username() if policy.owner else OURS
    return {"id": name, "object": "model", "created": int(policy.created_at.timestamp()), "owned_by": owner}


def _alias_shown(alias: Alias) -> dict[str, Any]:
    created = int(alias.created_at.timestamp())
    return {"id": alias.name, "object": "model", "created": created, "owned_by": OURS}


def own_fine_tune(person: User, name: str) -> Policy:
    """The person's own fine-tune of that name or label. Raises ApiError: 403 for one that they can only use."""
    found = resolve(person, name)
    if found.policy is None or found.policy.owner_id != person.pk or Alias.objects.filter(name=name).exists():
        raise forbidden(f"The model '{name[:120]}' is not yours: you can delete only your own fine-tunes.")
    return found.policy
