"""Errors of probing; the text of each is shown to people."""

from django.utils.translation import gettext_lazy as _

from feedback.errors import Refusal


class ProbeError(Refusal):
    """Base of all of them, never raised itself. When one is raised, nothing has changed."""


class NothingToProbe(ProbeError):
    code = "nothing_to_probe"
    text = _("No probe waits for you right now. An admin orders them; come back later.")


class NotYourProbe(ProbeError):
    code = "not_your_probe"
    text = _("This probe is no longer yours: your time ran out, it was handed over, or an admin withdrew it.")


class ReplyMissing(ProbeError):
    code = "reply_missing"
    text = _("Talk with the model first: the last reply is what is judged, and it has to be complete.")


class ReplyBlocked(ProbeError):
    code = "reply_blocked"
    text = _("A guard stopped the last reply, so it says nothing about the model. Write on, or start over.")


class NotOneDialogue(ProbeError):
    code = "not_one_dialogue"
    text = _("This dialogue was edited, or a reply was asked for again, so it is no plain one. Start over.")


class OtherPolicyReplied(ProbeError):
    code = "other_policy_replied"
    text = _("The model that is probed did not write all replies of this dialogue. Start over.")


class TwinChanged(ProbeError):
    code = "twin_changed"
    text = _("This harmless request has to be asked in its own words. Start over.")


class NoConsent(ProbeError):
    code = "no_consent"
    text = _("You do not allow that this conversation is used for training, so nobody else may judge it.")


class NotAgreed(ProbeError):
    code = "not_agreed"
    text = _(
        "Others read what is said in a probe. Agree to that under “Who may read your texts” in your account first."
    )


class TooManyTurns(ProbeError):
    code = "too_many_turns"
    text = _("This dialogue is as long as it may be. Hand it over, or start over.")


class GradeMissing(ProbeError):
    code = "grade_missing"
    text = _("Say how you see the last reply yourself before you hand it over.")


class BadOrder(ProbeError):
    code = "bad_order"
    text = _("Choose at least one policy whose files are there, one rule that is in force, and from 1 to 200 probes.")
