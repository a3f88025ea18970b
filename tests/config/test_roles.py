"""The commands of single roles: what process each turns into, and which tasks go to which queue."""

from argparse import ArgumentTypeError

import pytest
from django.core.management import CommandError, call_command

from config import roles
from config.celery import app
from config.management.commands.run_worker import _queues


@pytest.fixture
def became(monkeypatch):
    commands = []
    monkeypatch.setattr(roles, "become", commands.append)
    return commands


def after(argv, option):
    return argv[argv.index(option) + 1]


@pytest.mark.parametrize("server", roles.SERVERS)
def test_the_web_alone_on_either_server(became, server):
    call_command("run_web", "--host", "127.0.0.1", "--port", "8765", "--server", server)
    (argv,) = became
    assert argv[2] == {"uvicorn": "uvicorn", "daphne": "config.daphne_server"}[server]
    assert (after(argv, "--port"), argv[-1]) == ("8765", "config.asgi:application")


def test_a_worker_takes_the_queues_that_it_is_given(became):
    call_command("run_worker", "--queues", "light", "--tasks-at-a-time", "2")
    call_command("run_worker")
    assert [after(argv, "--queues") for argv in became] == ["light", "light,train"]
    assert [after(argv, "--concurrency") for argv in became] == ["2", "4"]
    assert not any("--beat" in argv for argv in became), "only the site's own worker sends the schedule's tasks"


def test_a_queue_that_is_not_there_is_refused():
    with pytest.raises(ArgumentTypeError, match="no queue 'heavy'; queues: light, train"):
        _queues("light,heavy")
    with pytest.raises(CommandError):
        call_command("run_worker", "--tasks-at-a-time", "0")


def test_the_scheduler_leaves_no_file_that_keeps_a_second_one_away(became):
    call_command("run_beat")
    assert after(became[0], "--pidfile") == ""


def test_only_trainings_go_to_the_queue_of_trainings(settings):
    app.loader.import_default_modules()
    own = [name for name in app.tasks if not name.startswith("celery.")]
    queues = {name: app.amqp.router.route({}, name)["queue"].name for name in own}
    light = settings.CELERY_TASK_DEFAULT_QUEUE
    assert {name for name, queue in queues.items() if queue != light} == {"rlhf.tasks.run_cycle"}
    assert queues["rlhf.tasks.run_cycle"] == f"{light}-train"
