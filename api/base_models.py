"""The policies that a person may fine-tune, by all their names, aliases included (settings.TUNING_MODELS)."""

from accounts.models import User
from api.errors import ApiError
from api.model_names import LIVE, resolve
from api.models import Alias
from chat import policies
from chat.errors import NoLivePolicy
from chat.models import Policy


def find(person: User, name: str) -> Policy | None:
    """None both for an unknown model and for one that the person may not see."""
    try:
        return resolve(person, name).policy or policies.live()
    except (ApiError, NoLivePolicy):
        return None


def available_to(person: User) -> dict[str, Policy]:
    """{name: policy}: the live policy, the person's own fine-tunes, the site's policies, and aliases."""
    visible = policies.visible_to(person).filter(is_scripted=False).order_by("-version")
    live = next((policy for policy in visible if policy.is_live), None)
    found = {LIVE: live} if live is not None else {}
    found |= {policy.label: policy for policy in visible if policy.label}
    found |= {policy.name: policy for policy in visible if not policy.label}
    by_id = {policy.pk: policy for policy in visible}
    for alias in Alias.objects.select_related("policy"):
        policy = live if alias.policy is None else by_id.get(alias.policy.pk)
        if policy is not None:
            found[alias.name] = policy
    return found
