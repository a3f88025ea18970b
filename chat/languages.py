"""The languages that a policy speaks: what a page suggests in which of them, and what it says where none fits."""

import re
from collections.abc import Iterable, Sequence

from django.conf import settings
from django.db import transaction
from django.utils.translation import get_language_info
from django.utils.translation import gettext as _

from accounts import audit
from accounts.models import User
from chat.models import Policy

CODE = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8})*")
"""A language by its code, as `en`, `ko` or `zh-hans`."""
MOST = 200


class BadLanguage(ValueError):
    """What stands for a language is no code of one."""


def speaks(policy: Policy | None, language: str) -> bool:
    """True, too, where nobody knows which languages the policy speaks."""
    if policy is None or not policy.languages:
        return True
    return _short(language) in {_short(code) for code in policy.languages}


def suggested(policy: Policy | None, language: str) -> str:
    """The language of suggestions on a page in `language`: that if the policy speaks it, else one that it does."""
    if speaks(policy, language):
        return language
    return next((code for code, _name in settings.LANGUAGES if speaks(policy, code)), language)


def warning(policy: Policy | None, language: str) -> str:
    """One line for a page in a language that the policy does not speak; else nothing."""
    if policy is None or speaks(policy, language):
        return ""
    spoken = ", ".join(name_of(code) for code in policy.languages)
    words = _("The model that answers here speaks: %(spoken)s. Answers in %(language)s will be poor.")
    return words % {"spoken": spoken, "language": name_of(language)}


def name_of(code: str) -> str:
    """In the language of the page; the code itself where Django knows no name."""
    try:
        return str(get_language_info(code)["name_translated"])
    except KeyError:
        return code


def read(text: str) -> list[str]:
    """The codes that somebody typed, each once, in their order. Raises BadLanguage with what is no code."""
    codes = [code.lower().replace("_", "-") for code in re.split(r"[\s,;]+", text) if code]
    if wrong := [code for code in codes if not CODE.fullmatch(code)]:
        raise BadLanguage(wrong[0][:40])
    return list(dict.fromkeys(codes))[:MOST]


def known(codes: Iterable[object]) -> list[str]:
    """Those of a model card's values that are codes of languages."""
    words = [code.strip().lower() for code in codes if isinstance(code, str)]
    return list(dict.fromkeys(code for code in words if CODE.fullmatch(code)))[:MOST]


def change(actor: User, policy: Policy, codes: Sequence[str]) -> None:
    """Sets the languages, with an entry in the audit log if that changes something."""
    with transaction.atomic():
        before = Policy.objects.select_for_update().get(pk=policy.pk).languages
        policy.languages = list(codes)
        if policy.languages != before:
            policy.save(update_fields=["languages"])
            audit.record(
                actor, "policy.languages", policy, before={"languages": before}, after={"languages": policy.languages}
            )


def _short(code: str) -> str:
    """Without region and script: whoever speaks `en-gb` speaks `en`."""
    return code.partition("-")[0].lower()
