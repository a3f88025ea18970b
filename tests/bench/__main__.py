"""`make bench`: the real model beside its bare engine; with ARGS="load ..." many scripted streams (tests.load),
with ARGS="tuning" a fine-tune of it, with ARGS="first-minutes" a new site while its first ranking tasks are made,
with ARGS="human --data FOLDER" the reward model on published rankings by people, with ARGS="lengths" within how many
tokens the base's replies end, with ARGS="saboteurs" what the gate says of policies that win without being better,
with ARGS="vllm --python PYTHON" a site before two vLLM servers, with ARGS="rollouts --python PYTHON" a PPO whose
completions a vLLM server samples, with ARGS="tinker --python PYTHON" a tiny model trained by SkyRL's Tinker server,
with ARGS="adapters" two policies as files or as adapters of llama.cpp, with ARGS="judging" the next task and the
submission among many judgements, with ARGS="course" simulated courses of several seeds, with
ARGS="kills" two hosts whose processes and services are taken away in turn."""

import sys

from tests.bench import (
    adapters,
    course,
    first_minutes,
    human,
    judging,
    lengths,
    rollouts,
    saboteurs,
    serving,
    tinker,
    tuning,
    vllm_pool,
)
from tests.load import kills, streams

OTHERS = {
    "adapters": adapters.main,
    "course": course.main,
    "judging": judging.main,
    "kills": kills.main,
    "load": streams.main,
    "tuning": tuning.main,
    "first-minutes": first_minutes.main,
    "human": human.main,
    "lengths": lengths.main,
    "saboteurs": saboteurs.main,
    "vllm": vllm_pool.main,
    "rollouts": rollouts.main,
    "tinker": tinker.main,
}

if (other := OTHERS.get("".join(sys.argv[1:2]))) is not None:
    sys.exit(other(sys.argv[2:]))
serving.main(sys.argv[1:])
