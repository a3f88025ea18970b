"""Labels for the actions in the audit log; a test checks that every action in the code has one."""

from django.apps import apps
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

ACTS = {
    "account.leave": _("Schedule an account for deletion"),
    "account.stay": _("Cancel the deletion of an account"),
    "account.erase": _("Delete an account"),
    "consent.edit": _("Change the words of the consent"),
    "user.create": _("Create an account"),
    "user.change": _("Change an account"),
    "user.roles": _("Change the roles of an account"),
    "user.password": _("Change a password"),
    "user.suspend": _("Suspend the account"),
    "user.lift": _("Lift the suspension"),
    "user.warn": _("Warn the person"),
    "user.unwarn": _("Withdraw a warning"),
    "user.approve": _("Find nothing wrong with a new account"),
    "text.read": _("Read a reply with its conversation"),
    "text.hide": _("Hide the reply"),
    "text.restore": _("Show the reply again"),
    "text.keep_out": _("Exclude from training"),
    "text.let_in": _("Allow for training again"),
    "reports.dismiss": _("Dismiss the reports"),
    "reports.reopen": _("Reopen the reports"),
    "block.review": _("Judge a block by a guard"),
    "note.add": _("Add a note for moderators"),
    "moderation.undo": _("Undo"),
    "rule.add": _("Add a rule"),
    "rule.place": _("Move a rule"),
    "rule.retire": _("Retire a rule"),
    "rule.bring_back": _("Restore a rule"),
    "rule.edit": _("Edit a rule"),
    "rule.switch": _("Switch a rule on or off"),
    "rule.phrase_add": _("Add a blocked phrase"),
    "rule.phrase_remove": _("Remove a blocked phrase"),
    "imports.store": _("Import judgements"),
    "exports.make": _("Export judgements"),
    "guidelines.edit": _("Edit the guidelines for annotators"),
    "project.create": _("Make a project"),
    "project.change": _("Change a project"),
    "project.prompts": _("Add prompts to a project"),
    "project.stop": _("Stop a project"),
    "project.resume": _("Resume a project"),
    "project.clone": _("Clone a project"),
    "project.adjudicate": _("Decide a task that its judges disagree on"),
    "project.adjudicate_again": _("Withdraw a decision on a task that its judges disagree on"),
    "project.member_add": _("Add a person to a project, or change their role there"),
    "project.member_remove": _("Remove a person from a project"),
    "project.invite": _("Create a link that invites people to a project"),
    "project.revoke": _("Revoke a link that invites people to a project"),
    "choices.change": _("Change the site settings"),
    "assistant.create": _("Share an assistant with everybody"),
    "assistant.edit": _("Edit a shared assistant"),
    "assistant.delete": _("Delete a shared assistant"),
    "assistant.restore": _("Restore a shared assistant"),
    "gold.set": _("Set the known answer to a task"),
    "gold.remove": _("Remove the known answer to a task"),
    "judgement.count_too_fast": _("Let judgements count that were faster than reading allows"),
    "judgement.leave_out_too_fast": _("Leave out judgements that were faster than reading allows"),
    "trust.discount": _("Discount the judgements of an annotator"),
    "trust.clear": _("Let the judgements of an annotator count"),
    "run.start": _("Start a run"),
    "run.resume": _("Resume a run"),
    "run.cancel": _("Cancel a run"),
    "run.decide": _("Let the gate decide without waiting for more comparisons"),
    "policy.promote": _("Promote a policy"),
    "policy.rollback": _("Roll back to a previous policy"),
    "probe.order": _("Order probes"),
    "probe.withdraw": _("Withdraw probes"),
    "canary.begin": _("Begin answering a share of the chats"),
    "canary.end": _("End answering a share of the chats"),
    "policy.trial": _("Start or end the trial of a policy"),
    "policy.languages": _("Change the languages of a policy"),
    "policy.retire": _("Delete a model"),
    "webhook.add": _("Add a webhook"),
    "webhook.change": _("Change a webhook"),
    "webhook.rotate": _("Make a new secret for a webhook"),
    "webhook.remove": _("Remove a webhook"),
    "webhook.disable": _("Switch off a webhook after failures"),
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
    "backup.make": _("Make a backup"),
    "site.restore": _("Restore the site from a backup"),
    "audit.seal": _("Seal the entries of a previous version of the site"),
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
