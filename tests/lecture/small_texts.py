"""Small texts, and the real stage carried out on them in this process."""

import json

from lecture import run_kind, taught
from lecture.models import Lesson
from rlhf.models import Run

ENGLISH = "\n\n".join(
    f"The king of the {land} went to the house of the lord {land}." for land in "abcdefghijklmnopqrstuv"
)
KOREAN = "\n\n".join(f"참새 {n}마리가 방앗간을 그냥 지나치지 않았습니다." for n in range(40))
HOSTILE = "\n\n".join(f"<script>alert({n})</script> “><img src=x onerror=alert(1)> said the king." for n in range(40))


def carry_out(run, path):
    from rlhf.training.lecture import stage
    from rlhf.training.run import RunDirectory

    run.path.mkdir(parents=True)
    lesson = Lesson.objects.get(pk=run.config["lesson"])
    config = {
        "source": str(path),
        "title": lesson.source,
        "families": run.config["families"],
        "output": str(taught.output_of(run)),
        "minutes": 1,
        "steps": 6,
    }
    (run.path / "config.json").write_text(json.dumps(config))
    run_kind.collect(run, stage.run(RunDirectory(run.path)))
    Run.objects.filter(pk=run.pk).update(state=Run.State.SUCCEEDED)
    return Lesson.objects.get(pk=lesson.pk)
