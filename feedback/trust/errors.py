"""Refusals on the pages of trust."""

from django.utils.translation import gettext_lazy as _

from feedback.errors import Refusal


class TrustError(Refusal):
    """An act on trust was refused."""


class NotGold(TrustError):
    code = "not_gold"
    text = _("This task decides between two policies, so its answer cannot be known beforehand. Choose another task.")


class NoOrder(TrustError):
    code = "no_order"
    text = _("In a known answer at least one reply has to be better than another.")


class OwnFinding(TrustError):
    code = "own_finding"
    text = _("Nobody decides on a finding about their own judgements. Ask another moderator.")


class AlreadyDecided(TrustError):
    code = "already_decided"
    text = _("Somebody has decided so already; nothing was changed.")


class OwnJudgements(TrustError):
    code = "own_judgements"
    text = _("Nobody decides whether their own judgements count. Ask somebody else who leads the project.")


class NothingTooFast(TrustError):
    code = "nothing_too_fast"
    text = _("None of these judgements waits any more; nothing was changed.")
