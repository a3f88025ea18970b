"""The pages of own data and models: what is shown before anything is done, and whose it is."""

import io
import json
import zipfile

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.test import Client

from accounts.models import User
from chat import policies
from chat.models import Conversation, Policy
from fine_tuning.data import uploads
from fine_tuning.models import DataFile, FineTune
from metering.models import Price
from rlhf.models import Run
from tests.fine_tuning.model_configs import TINY
from tests.fine_tuning.training_files import jsonl, pairs
from tests.fine_tuning.worker import drive
from tests.rlhf.policy_directories import write_policy

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "base")]


def signed_in(user):
    client = Client(headers={"accept-language": "en"})
    client.force_login(user)
    return client


@pytest.fixture
def mina(person):
    return signed_in(person)


@pytest.fixture
def other(stranger):
    return signed_in(stranger)


@pytest.fixture
def bring(person):
    return lambda content=None, name="guide.jsonl": uploads.store(person, name, [(content or pairs(20)).encode()])


def text_of(response, status=200):
    assert response.status_code == status, response.content[:2000]
    return response.content.decode()


def upload(client, content, name="guide.jsonl"):
    file = io.BytesIO(content)
    file.name = name
    return client.post("/data/", {"file": file})


def test_a_file_brought_in_is_shown_line_by_line(mina):
    response = upload(mina, b'{"prompt": "Wer?", "completion": " <b>Ich</b>"}\n' * 2)
    file = DataFile.objects.get()
    assert response["Location"] == f"/data/{file.id}/"
    page = text_of(mina.get(f"/data/{file.id}/"))
    assert "&lt;b&gt;Ich&lt;/b&gt;" in page
    assert "the same as line 1" in page
    assert "guide.jsonl" in text_of(mina.get("/data/"))


def test_a_bad_file_is_refused_by_its_lines(mina, left_behind):
    page = text_of(upload(mina, b'{"completion": "a"}\n?\n'), 400)
    assert "line 2" in page
    assert left_behind() == []


def test_a_line_has_the_tokens_that_the_model_counts(mina, bring, settings):
    """A base without a tokenizer guesses three characters a token."""
    file = bring(jsonl({"prompt": "a" * 30, "completion": "b" * 30}))
    assert '<td class="num">21</td>' in text_of(mina.get(f"/data/{file.id}/"))


def test_pages_of_many_lines(mina, bring):
    file = bring(pairs(120))
    page = text_of(mina.get(f"/data/{file.id}/?page=3"))
    assert "Question 119" in page
    assert "Question 99 " not in page
    assert mina.get(f"/data/{file.id}/?page=99").status_code == 200


def test_what_is_somebody_else_s_is_not_there(mina, other, bring, no_worker, person):
    file = bring()
    for path in (f"/data/{file.id}/", f"/data/{file.id}/prepare/", f"/data/{file.id}/content/"):
        assert other.get(path).status_code == 404
    assert other.post(f"/data/{file.id}/delete/").status_code == 404
    job = order(mina, file)
    for verb in ("cancel", "pause", "resume", "delete", "share", "talk"):
        assert other.post(f"/models/{job.id}/{verb}/").status_code == 404
    for path in ("", "part/", "download/"):
        assert other.get(f"/models/{job.id}/{path}").status_code == 404


def test_preparing_shows_each_change_and_makes_those_that_were_chosen(mina, bring):
    file = bring(jsonl({"prompt": "who is it", "completion": "me"}, {"prompt": "where", "completion": "far"}))
    page = text_of(mina.get(f"/data/{file.id}/prepare/"))
    assert page.count('name="change"') == 3
    response = mina.post(f"/data/{file.id}/prepare/", {"change": ["completion_space"]})
    made = DataFile.objects.exclude(pk=file.pk).get()
    assert response["Location"] == f"/data/{made.id}/"
    assert made.filename == "guide_prepared.jsonl"
    assert [json.loads(line)["completion"] for line in made.path.read_text().splitlines()] == [" me", " far"]
    assert DataFile.objects.filter(pk=file.pk).exists()


def order(client, file, **fields):
    given = {"model": "live", "training": file.id, "method": "supervised", "scope": "lora", "n_epochs": 2, **fields}
    response = client.post("/models/new/", given)
    assert response.status_code == 302, response.content[:3000]
    return FineTune.objects.latest("created_at")


def test_the_form_says_what_it_will_cost_and_take_before_it_starts(mina, bring):
    Price.objects.update_or_create(model="base", defaults={"training": 1_000_000})
    file = bring(jsonl(*({"prompt": "a" * 30, "completion": "b" * 26} for _ in range(1))))
    page = text_of(
        mina.get(f"/models/estimate/?model=live&training={file.id}&method=supervised&scope=head&n_epochs=3")
    )
    assert "19 × 3 epochs = 57" in page
    assert "$0.06" in page
    assert ">800<" in page, "the head of 8 × 100"
    assert page.count("<tr") == 5
    assert "19 × 15 epochs" in text_of(mina.get(f"/models/new/?training={file.id}"))


def test_the_estimate_is_what_the_job_then_trains_on(mina, bring, no_worker):
    """Lines that are the same are held out together: 40 lines, of which 20 differ."""
    file = bring(pairs(20) * 2)
    page = text_of(mina.get(f"/models/estimate/?model=live&training={file.id}&method=supervised&scope=head"))
    assert "36 lines" in page
    assert "2 held out for validation" in page
    order(mina, file)
    drive(no_worker)
    chosen = FineTune.objects.get().chosen
    assert (chosen["rows"], chosen["held_out"]) == (36, 2)


def test_of_reinforcement_it_says_how_many_replies_at_most(mina, bring, base):
    Price.objects.update_or_create(model="base", defaults={"training": 1_000_000})
    file = bring(pairs(10))
    query = f"model=live&training={file.id}&method=reinforcement&n_epochs=2&scope="
    assert "has no reward model for base" in text_of(mina.get(f"/models/estimate/?{query}lora"))
    judge = Run.objects.create(kind=Run.Kind.REWARD_MODEL, state=Run.State.SUCCEEDED, base_policy=base)
    (judge.path / "reward_model").mkdir(parents=True)
    assert "Reinforcement learning trains LoRA adapters only." in text_of(mina.get(f"/models/estimate/?{query}full"))
    page = text_of(mina.get(f"/models/estimate/?{query}lora"))
    assert "72 replies, written during training; at most 3,456 tokens" in page  # 9 prompts, twice, four replies each
    assert 'at most <strong class="tabular">$3.46</strong>' in page
    assert page.count("<tr") == 2, "LoRA alone"


def test_of_other_models_than_llamas_the_form_offers_lora_alone(mina, bring, base):
    write_policy(policies.directory(base), config={**TINY, "model_type": "qwen3"})
    query = f"model=live&training={bring().id}&method=supervised&scope="
    assert text_of(mina.get(f"/models/estimate/?{query}lora")).count("<tr") == 2
    assert "Only LoRA adapters of base can be trained" in text_of(mina.get(f"/models/estimate/?{query}full"))


def test_a_file_that_the_method_cannot_learn_from_is_named_before_the_order(mina, bring):
    page = text_of(mina.get(f"/models/estimate/?model=live&training={bring().id}&method=dpo&scope=lora"))
    assert "This method can&#x27;t use lines in this format." in page


def test_every_way_has_its_sentence_and_its_drawing(mina, bring):
    bring()
    page = text_of(mina.get("/models/new/"))
    for scope in ("head", "blocks", "lora", "full"):
        assert f'class="scope-picture {scope}"' in page
    assert "frozen" in page


def test_a_job_from_the_form_to_the_conversation(mina, bring, no_worker, person):
    job = order(mina, bring(), suffix="My island")
    waiting = text_of(mina.get(f"/models/{job.id}/"))
    assert "Fine-tune enqueued. Queue number: 0" in waiting
    assert f'href="/models/{job.id}/">my-island</a>' in text_of(mina.get("/models/"))
    FineTune.objects.update(state="running")
    Run.objects.update(state="running")
    starting = text_of(mina.get(f"/models/{job.id}/part/"))
    assert "Starting" in starting
    assert "Waiting for the worker" not in starting
    FineTune.objects.update(state="queued")
    Run.objects.update(state="queued")
    assert mina.get(f"/models/{job.id}/part/")["X-Live"] == "1"
    drive(no_worker)
    part = mina.get(f"/models/{job.id}/part/")
    assert part["X-Live"] == "0"
    done = text_of(mina.get(f"/models/{job.id}/"))
    for said in ("Fine-tune succeeded", "Training loss", "Validation loss", "Few-shot", "On the north cape.", "0.4"):
        assert said in done
    response = mina.post(f"/models/{job.id}/talk/")
    conversation = Conversation.objects.get()
    assert (conversation.owner, conversation.policy.label) == (person, FineTune.objects.get().fine_tuned_model)
    assert response["Location"] == f"/c/{conversation.pk}/"


def test_a_form_that_cannot_be_is_refused_with_words(mina, bring, no_worker):
    file = bring(jsonl({"prompt": "a", "completion": ""}, {"prompt": "b", "completion": "c"}))
    given = {"model": "live", "training": file.id, "method": "supervised", "scope": "lora"}
    assert "line 1" in text_of(mina.post("/models/new/", given), 400)
    assert "form" in text_of(mina.post("/models/new/", {**given, "method": "dpo"}), 400)
    assert mina.post("/models/new/", {}).status_code == 400
    assert not FineTune.objects.exists()


def test_the_model_is_downloaded_as_a_folder(mina, bring, no_worker, settings):
    job = order(mina, bring())
    drive(no_worker)
    made = FineTune.objects.get().policy
    folder = settings.MODELS_DIR / made.directory
    (folder / "policy.gguf").write_bytes(b"for our engine alone")
    response = mina.get(f"/models/{job.id}/download/")
    with zipfile.ZipFile(io.BytesIO(async_to_sync(whole)(response.streaming_content))) as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist()}
    wanted = [path for path in folder.iterdir() if path.suffix != ".gguf"]
    assert found == {f"{made.name}/{path.name}": path.read_bytes() for path in wanted}


async def whole(parts):
    return b"".join([part async for part in parts])


def test_shared_with_a_group_its_members_talk_with_it(mina, other, bring, no_worker, person, stranger):
    group = Group.objects.create(name="islanders")
    job = order(mina, bring())
    drive(no_worker)
    assert mina.post(f"/models/{job.id}/share/", {"group": group.pk}).status_code == 302
    assert Policy.objects.get(pk=again(job).policy.pk).group is None, "only with groups that one is in"
    person.groups.add(group)
    stranger.groups.add(group)
    mina.post(f"/models/{job.id}/share/", {"group": group.pk})
    assert again(job).policy.group == group
    assert again(job).fine_tuned_model in text_of(other.get("/models/"))
    assert other.post(f"/models/{job.id}/talk/").status_code == 302
    assert other.get(f"/models/{job.id}/").status_code == 404
    mina.post(f"/models/{job.id}/share/", {"group": ""})
    assert other.post(f"/models/{job.id}/talk/").status_code == 404


def again(job):
    return FineTune.objects.select_related("policy").get(pk=job.pk)


def test_paused_resumed_cancelled_deleted(mina, bring, no_worker):
    job = order(mina, bring())
    for verb, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        assert mina.post(f"/models/{job.id}/{verb}/")["Location"] == f"/models/{job.id}/"
        assert again(job).state == state
    assert "Who can use it" not in text_of(mina.get(f"/models/{job.id}/"))
    assert mina.post(f"/models/{job.id}/delete/")["Location"] == "/models/"
    assert not FineTune.objects.exists()


def test_an_admin_sees_what_is_the_matter_with_anybody_s(bring, no_worker, mina, base):
    job = order(mina, bring())
    admin = User.objects.create_user("boss", is_superuser=True, is_staff=True)
    client = signed_in(admin)
    page = text_of(client.get(f"/models/{job.id}/"))
    assert "Chat with this model" not in page
    assert "Who can use it" not in page
    assert client.post(f"/models/{job.id}/cancel/").status_code == 404, "that is done to the run, with its entry"
    drive(no_worker)
    page = text_of(client.get(f"/models/{job.id}/"))
    assert "Few-shot" in page
    assert "On the north cape." not in page


def test_what_is_said_of_lines_is_in_the_language_of_who_reads(mina, bring):
    """Lines are counted once a language: whoever opened the page first does not choose the words of the next."""
    file = bring(jsonl({"prompt": "Wer?", "completion": " "}, {"prompt": "Was?", "completion": " das"}))
    assert "the completion is empty" in text_of(mina.get(f"/data/{file.id}/"))
    korean = text_of(mina.get(f"/data/{file.id}/", headers={"accept-language": "ko"}))
    assert "the completion is empty" not in korean
    assert "완성문이 비어" in korean
