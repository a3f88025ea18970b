"""A run trains by the defaults of the site's profile, unless it was given others, and its page names the profile."""

import json

from config.training_profiles import CPU, GPU, Profile
from rlhf.models import Run
from rlhf.runs import cycle, stages
from rlhf.runs.supervisor import Supervisor


def test_a_run_takes_the_profile_s_defaults_where_it_was_given_none(judged, settings, admin, client):
    settings.RLHF_PROFILE = Profile(GPU)
    run = cycle.start(hyperparameters={"policy": {"minibatch_rows": 32}})
    cycle.drive(run.pk, Supervisor())
    stage = Run.objects.get(parent=run, stage="policy")
    config = json.loads((stage.path / "config.json").read_text())
    given = config["hyperparameters"]
    assert (given["prompts_per_iteration"], given["sample_rows"], given["minibatch_rows"]) == (128, 128, 32)
    assert config["profile"] == "gpu"
    client.force_login(admin)
    page = client.get(f"/training/runs/{stage.pk}/", headers={"accept-language": "en"}).content.decode()
    assert "gpu (for one card)" in page


def test_a_run_goes_on_with_what_was_set_when_it_first_started(judged, settings):
    settings.RLHF_PROFILE = Profile(GPU)
    run = cycle.start()
    cycle.drive(run.pk, Supervisor())
    stage = Run.objects.get(parent=run, stage="policy")
    before = json.loads((stage.path / "config.json").read_text())
    settings.RLHF_PROFILE = Profile(CPU)
    settings.FEEDBACK_COMPLETION_TOKENS += 1
    again = stages.child_config(stage, 1)
    assert again["hyperparameters"] == before["hyperparameters"]
    assert again["profile"] == "gpu"
