"""Labels for the codes in rows: reasons of the gate, controls of an evaluation, stages of a cycle."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

REASONS: dict[str, Promise] = {
    "win_rate": _("The lower bound of the win rate is above the limit"),
    "judge_accuracy": _("The lower bound of the judge's accuracy is above the limit"),
    "judge_comparisons": _("The judge was measured on enough held-out comparisons"),
    "judge_people": _("These comparisons were made by enough people"),
    "prompts": _("It was compared on enough held-out prompts"),
    "people_win_rate": _("People preferred its replies: the lower bound of their win rate is above the limit"),
    "people_comparisons": _("Enough pairs of replies were compared by people"),
    "people_several": _("Several people compared replies"),
    "violations": _("There are no more rule violations than with the live policy"),
    "violation_prompts": _("There were enough prompts to notice more rule violations"),
    "probes_of_candidate": _("Enough probes of the candidate were judged"),
    "probes_of_live": _("Enough probes of the live policy were judged"),
    "probe_violations": _("Under probing it breaks rules no more often than the live policy"),
    "twins_of_candidate": _("Enough harmless requests to the candidate were judged"),
    "twins_of_live": _("Enough harmless requests to the live policy were judged"),
    "needless_refusals": _("It refuses harmless requests no more often than the live policy"),
    "first_sentence": _("It wins by more than replies that are merely cut after the first sentence"),
    "stop_controlled": _("The win rate's lower bound still passes when both replies are cut to their first sentence"),
    "kl": _("The policy stayed close to its starting point (KL)"),
    "too_short": _("Replies are not much shorter than before"),
    "too_long": _("Replies are not much longer than before"),
    "anchor_kl": _("After all trainings, the policy is still close to the original base (KL)"),
    "anchor_too_short": _("Replies are not much shorter than those of the original base"),
    "anchor_too_long": _("Replies are not much longer than those of the original base"),
    "anchor_perplexity": _("Perplexity of human text has not risen too much since the original base"),
    "anchor_surprise": _("The original base is not much more surprised by the replies than by its own"),
    "anchor_violations": _("There are no more rule violations than with the original base"),
    "repetition": _("Replies do not repeat themselves"),
    "empty": _("Replies are not empty"),
    "odd": _("Few replies surprise the original base more than nearly all of its own"),
    "no_sentence": _("Replies hold a sentence where those of the original base do"),
    "other_script": _("Replies are in the script of the prompt or of the original base's replies"),
    "off_topic": _("Replies answer their own prompt rather than any other"),
    "perplexity": _("Perplexity of human text has not risen too much"),
    "surprise": _("The base model is not much more surprised by the replies than by its own"),
    "served": _("The file that answers people is close to the trained weights (KL)"),
    "finite": _("All tensors are finite"),
    "baseline": _("It was compared with the policy that is live now"),
    "cannot_promote": _("It could be promoted"),
}
OLD_SIGNS = {
    "win_rate": ">",
    **dict.fromkeys(("stop_controlled", "too_short"), "≥"),
    **dict.fromkeys(("violations", "kl", "too_long", "repetition", "empty", "perplexity", "surprise"), "≤"),
}
"""Comparison signs of reasons stored before version 0.2, which do not hold their own."""
CONTROLS: dict[str, Promise] = {
    "null": _("Before training, against itself with another seed"),
    "first_sentence": _("Before training, cut after the first sentence"),
    "best_of_8": _("Before training, best of 8 by the reward model"),
    "stop_controlled": _("Both cut to the first sentence"),
}
BACKENDS: dict[str, str | Promise] = {"llama": _("Chamsae's own Llama"), "transformers": "transformers"}
"""What computes a run's models."""
PROFILES: dict[str, Promise] = {
    "cpu": _("for a CPU"),
    "gpu": _("for one card"),
    "multi-gpu": _("for several cards"),
}
"""Defaults of training, by the machine that they are for."""
SHARING: dict[str, str] = {"ddp": "DDP", "fsdp2": "FSDP2"}
"""How several processes share a run."""
ALGORITHMS: dict[str, str | Promise] = {
    "ppo": "PPO",
    "rloo": "RLOO",
    "grpo": "GRPO",
    "dpo": "DPO",
    "kto": "KTO",
    "sft": _("SFT on the best replies"),
    "best_of_n": _("Best of n"),
}
"""Ways to train a policy, as rlhf.training.policy.stage knows them."""
BY_TRL = ("rloo", "grpo", "kto")
"""The ways that TRL's trainers go."""
BY_SERVERS = ("ppo", "rloo", "grpo")
"""The ways whose completions servers can sample: those that take a step from each of their own."""
BY_TINKER = ("rloo", "grpo")
"""The ways that a Tinker server goes where there is one (rlhf.runs.tinker_server)."""
STAGES: dict[str, Promise] = {
    "reward_model": _("Reward model"),
    "judge": _("Judge"),
    "policy": _("Policy"),
    "evaluation": _("Evaluation"),
    "comparisons": _("Comparisons by people"),
}
STOPPED_BY: dict[str, Promise] = {
    "iterations": _("all steps done"),
    "steps": _("all steps done"),
    "kl": _("stopped at the KL limit"),
    "watch": _("stopped by an alarm: the reward rose while the held-out judge's score fell"),
    "entropy": _("stopped by an alarm: the policy had become nearly certain of every token"),
    "length": _("stopped by an alarm: replies had become far shorter or longer"),
    "value": _("stopped by an alarm: the loss of the value function had exploded"),
}
"""Why a training of a policy ended; after an alarm with the weights of its best step."""
DEMONSTRATION = _("JUDGED BY THE PROGRAM THAT MADE THE JUDGEMENTS: a demonstration, no evidence about people")
JUDGES: dict[str, Promise] = {
    "auto": _("automatic: the program where one program made every judgement, else a held-out reward model"),
    "gold": _("the program that made every judgement (a demonstration)"),
    "held_out": _("a second reward model, trained only on held-out judgements"),
    "people": _("people, in blind comparisons"),
}
"""Who may be asked to judge a cycle's candidate."""
WHY_LISTED: dict[str, Promise] = {
    "breaks_rule": _("The judge finds that it breaks a rule: %(rules)s"),
    "surprising": _("Among the most surprising to the base model: %(surprise)s nats per token"),
    "short": _("Among the shortest: %(tokens)s tokens"),
}
"""Why a reply is among the worst of an evaluation."""
FIGURES: dict[str, Promise] = {
    "kl_nats": _("KL from the starting point, nats per reply"),
    "length_ratio": _("Length, relative to before"),
    "repetition": _("Repetition"),
    "empty_rate": _("Empty replies"),
    "perplexity_ratio": _("Perplexity of human text, relative to before"),
    "surprise_ratio": _("Surprise of the base model at the replies, relative to its own"),
    "surprise_nats": _("Surprise of the base model, nats per token"),
    "surprise_nats_base": _("Surprise of the base model at its own replies, nats per token"),
    "anchor_kl_nats": _("KL from the original base, nats per reply"),
    "anchor_length_ratio": _("Length, relative to the original base"),
    "anchor_perplexity_ratio": _("Perplexity of human text, relative to the original base"),
    "anchor_surprise_ratio": _("Surprise of the original base at the replies, relative to its own"),
    "odd_share": _("Replies more surprising to the original base than 99 in 100 of its own, share"),
    "no_sentence_share": _("Replies without a sentence where the original base writes one, share"),
    "no_sentence_share_anchor": _("The same of the original base's own replies"),
    "other_script_share": _("Replies in another script than the prompt and the original base's, share"),
    "off_topic_share": _("Replies less bound to their prompt than 99 in 100 of the original base's, share"),
    "distinct_2": _("Distinct word pairs (distinct-2)"),
    "reward_length_correlation": _("Correlation of reward and length"),
}

EXPORTS: dict[str, str | Promise] = {
    "rankings": _("Rankings: each annotator's order with its replies"),
    "flags": _("Rule flags"),
    "trl-preference": _("TRL: preference pairs"),
    "trl-kto": _("TRL: unpaired rows (KTO)"),
    "demonstrations": _("Replies that people wrote or corrected"),
    "ratings": _("Ratings from 1 to 7"),
    "sft": _("TRL: prompt and chosen completion (SFT)"),
    "langfuse": _("Langfuse: traces with scores (JSONL)"),
    "mlflow": _("MLflow: traces with assessments (JSONL)"),
}
