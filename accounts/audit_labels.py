"""Labels for the actions in the audit log; a test checks that every action in the code has one."""

from django.apps import apps
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

ACTS = {
    "account.leave": _("Schedule an account for deletion"),
    "account.stay": _("Cancel the deletion of an account"),
    "account.erase": _("Delete an account"),
    "user.create": _("Create an account"),
    "user.change": _("Change an account"),
    "user.roles": _("Change the roles of an account"),
    "user.suspend": _("Suspend the account"),
    "user.lift": _("Lift the suspension"),
    "text.read": _("Read a reply with its conversation"),
    "text.hide": _("Hide the reply"),
    "text.restore": _("Show the reply again"),
    "text.keep_out": _("Exclude from training"),
    "text.let_in": _("Allow for training again"),
    "reports.dismiss": _("Dismiss the reports"),
    "reports.reopen": _("Reopen the reports"),
    "moderation.undo": _("Undo"),
    "rule.edit": _("Edit a rule"),
    "rule.switch": _("Switch a rule on or off"),
    "rule.phrase_add": _("Add a blocked phrase"),
    "rule.phrase_remove": _("Remove a blocked phrase"),
    "choices.change": _("Change the site settings"),
    "assistant.create": _("Share an assistant with everybody"),
    "assistant.edit": _("Edit a shared assistant"),
    "assistant.delete": _("Delete a shared assistant"),
    "assistant.restore": _("Restore a shared assistant"),
    "run.start": _("Start a run"),
    "run.resume": _("Resume a run"),
    "run.cancel": _("Cancel a run"),
    "run.decide": _("Let the gate decide without waiting for more comparisons"),
    "policy.promote": _("Promote a policy"),
    "policy.rollback": _("Roll back to a previous policy"),
    "canary.begin": _("Begin answering a share of the chats"),
    "canary.end": _("End answering a share of the chats"),
    "policy.trial": _("Start or end the trial of a policy"),
    "policy.languages": _("Change the languages of a policy"),
    "policy.retire": _("Delete a model"),
    "key.create": _("Create an API key"),
    "key.revoke": _("Revoke an API key"),
    "alias.add": _("Add an alias"),
    "alias.change": _("Change an alias"),
    "alias.remove": _("Remove an alias"),
    "budget.set": _("Set a budget"),
    "budget.remove": _("Remove a budget"),
    "price.add": _("Add a price"),
    "price.change": _("Change a price"),
    "price.remove": _("Remove a price"),
}


def name_of(verb: str) -> str:
    """The label of an entry's verb; the verb itself if only an older version of the site used it."""
    return str(ACTS.get(verb, verb))


def target_name(target: str) -> str:
    """A label for an entry's target, such as `chat.message:12`: the model's name and the row's key."""
    label, _colon, key = target.partition(":")
    try:
        return f"{capfirst(apps.get_model(label)._meta.verbose_name)} {key}"
    except (LookupError, ValueError):
        return target
