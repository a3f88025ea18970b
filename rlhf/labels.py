"""What the pages say for the codes in rows: reasons of the gate, controls of an evaluation, stages of a cycle."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

REASONS: dict[str, Promise] = {
    "win_rate": _("The lower bound of the win rate is above the limit"),
    "violations": _("Rule violations are not above those of the live policy"),
    "stop_controlled": _("With both sides cut to the first sentence, the lower bound of the win rate holds"),
    "kl": _("The policy stayed near its start (KL)"),
    "too_short": _("Replies are not much shorter than before"),
    "too_long": _("Replies are not much longer than before"),
    "repetition": _("Replies do not repeat themselves"),
    "empty": _("Replies are not empty"),
    "perplexity": _("Human text has not become stranger to it (perplexity)"),
    "surprise": _("Replies are not much stranger to the base than its own (surprise)"),
    "finite": _("All tensors are finite"),
    "baseline": _("It was compared with the policy that is live now"),
    "cannot_promote": _("It could be made live"),
}
SIGNS = {
    "win_rate": ">",
    **dict.fromkeys(("stop_controlled", "too_short"), "≥"),
    **dict.fromkeys(("violations", "kl", "too_long", "repetition", "empty", "perplexity", "surprise"), "≤"),
}
"""On which side of its limit the value of a reason has to lie, as `rlhf.release.gate` compares them."""
CONTROLS: dict[str, Promise] = {
    "null": _("Before against itself, another seed"),
    "first_sentence": _("Before, cut after its first sentence"),
    "best_of_8": _("Before, best of 8 by the reward model"),
    "stop_controlled": _("Both cut to the first sentence"),
}
STAGES: dict[str, Promise] = {
    "reward_model": _("Reward model"),
    "judge": _("Judge"),
    "policy": _("Policy"),
    "evaluation": _("Evaluation"),
}
FIGURES: dict[str, Promise] = {
    "kl_nats": _("KL from the start, nats a reply"),
    "length_ratio": _("Length, against before"),
    "repetition": _("Repetition"),
    "empty_rate": _("Empty replies"),
    "perplexity_ratio": _("Perplexity of human text, against before"),
    "surprise_ratio": _("Surprise of the base at replies, against its own"),
    "surprise_nats": _("Surprise of the base, nats a token"),
    "surprise_nats_base": _("Surprise of the base at its own replies, nats a token"),
    "distinct_2": _("Different word pairs (distinct-2)"),
    "reward_length_correlation": _("Correlation of reward and length"),
}
