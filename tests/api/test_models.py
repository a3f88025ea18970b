"""Which models a program sees, by which names it gets them, and the end of a model of its own."""

import pytest
from django.contrib.auth.models import Group

from accounts.models import AuditEntry
from accounts.roles import Role
from api import model_names
from api.errors import ApiError
from api.models import Alias
from chat.models import Policy
from tests.api.program import Program, in_database
from tests.people import make_person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_alias(db):
    Alias.objects.all().delete()


@pytest.fixture
def bob(db):
    return make_person("bob")


@pytest.fixture
def fine_tune(alice, scripted_policy):
    label = "scripted:ft-personal-2026-11-24-06-37-36"
    return Policy.objects.create(
        name="tuned", version=2, is_scripted=True, owner=alice, label=label, base=scripted_policy, directory="tuned"
    )


async def test_the_list_has_what_may_be_asked_for(program, bob, fine_tune):
    await Alias.objects.acreate(name="davinci")
    await Alias.objects.acreate(name="secret-alias", policy=fine_tune)
    mine = (await program.get("models")).json()
    assert mine["object"] == "list"
    assert [model["id"] for model in mine["data"]] == ["live", "scripted", fine_tune.label, "davinci", "secret-alias"]
    assert {model["object"] for model in mine["data"]} == {"model"}
    assert all(isinstance(model["created"], int) for model in mine["data"])
    assert next(model for model in mine["data"] if model["id"] == fine_tune.label)["owned_by"] == "alice"
    others = (await (await in_database(Program)(bob)).get("models")).json()
    assert [model["id"] for model in others["data"]] == ["live", "scripted", "davinci"]


async def test_each_of_the_list_can_be_had_by_itself(program, fine_tune):
    await Alias.objects.acreate(name="davinci")
    for model in (await program.get("models")).json()["data"]:
        assert (await program.get(f"models/{model['id']}")).json() == model
    encoded = fine_tune.label.replace(":", "%3A")
    assert (await program.get(f"models/{encoded}")).json()["id"] == fine_tune.label
    missing = await program.get("models/nothing")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


def test_a_name_means_one_model(alice, bob, fine_tune, scripted_policy):
    Alias.objects.create(name="davinci")
    Alias.objects.create(name="curie", policy=fine_tune)
    assert model_names.resolve(alice, "live").policy is None
    assert model_names.resolve(alice, "davinci").policy is None
    assert model_names.resolve(alice, "curie").policy == fine_tune
    assert model_names.resolve(alice, "tuned").policy == fine_tune
    assert model_names.resolve(alice, fine_tune.label).policy == fine_tune
    assert model_names.resolve(bob, "scripted").policy == scripted_policy
    for name in ("curie", "tuned", fine_tune.label, "", "x" * 200):
        with pytest.raises(ApiError) as caught:
            model_names.resolve(bob, name)
        assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    fine_tune.group = Group.objects.create(name="class")
    fine_tune.save()
    bob.groups.add(fine_tune.group)
    assert model_names.resolve(bob, "curie").policy == fine_tune


async def test_engines_are_what_models_were_called(program, scripted_policy):
    listed = (await program.get("engines")).json()
    assert listed["data"][0] == {"id": "live", "object": "engine", "owner": "chamsae", "ready": True}
    assert (await program.get("engines/scripted")).json()["id"] == "scripted"
    assert (await program.get("engines/nothing")).status_code == 404


async def test_a_fine_tune_of_one_s_own_can_be_deleted_and_nothing_else(
    program, alice, bob, fine_tune, scripted_policy
):
    await Alias.objects.acreate(name="davinci", policy=fine_tune)
    for name in ("live", "scripted", "davinci"):
        assert (await program.delete(f"models/{name}")).status_code == 403, name
    boss = await in_database(make_person)("boss", Role.ADMIN)
    assert (await (await in_database(Program)(boss)).delete(f"models/{fine_tune.label}")).status_code == 403
    assert (await (await in_database(Program)(bob)).delete(f"models/{fine_tune.label}")).status_code == 404
    await Policy.objects.filter(pk=scripted_policy.pk).aupdate(is_live=False)
    await Policy.objects.filter(pk=fine_tune.pk).aupdate(is_live=True)
    assert (await program.delete(f"models/{fine_tune.label}")).status_code == 403
    await Policy.objects.filter(pk=fine_tune.pk).aupdate(is_live=False)
    gone = await program.delete(f"models/{fine_tune.label}")
    assert gone.json() == {"id": fine_tune.label, "object": "model", "deleted": True}
    for path in (f"models/{fine_tune.label}", "models/davinci", f"engines/{fine_tune.label}"):
        assert (await program.get(path)).status_code == 404, path
    status, _ = await program.refused("completions", model=fine_tune.label, prompt="x")
    assert status == 404
    entry = await AuditEntry.objects.aget(verb="policy.retire")
    assert (entry.actor_id, entry.after) == (alice.pk, {"name": "tuned"})
