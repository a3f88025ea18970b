"""What an admin's program of today asks of usage and costs; each function is a program."""

import itertools
import os
import sys
import time

from openai import OpenAI

client = OpenAI(admin_api_key=os.environ["OPENAI_API_KEY"], _strict_response_validation=True, max_retries=0)
asking = client.admin.organization.usage
HOUR = 3600
SINCE = int(time.time()) - 24 * HOUR


def used(**more):
    pages = asking.completions(start_time=SINCE, **more)
    return [result for bucket in pages.data for result in bucket.results]


def tokens(results):
    return sum(result.input_tokens + result.output_tokens for result in results)


def usage_counts_what_was_asked():
    before, requests = tokens(used()), sum(one.num_model_requests for one in used())
    answer = client.chat.completions.create(model="live", messages=[{"role": "user", "content": "Hi"}])
    assert tokens(used()) == before + answer.usage.total_tokens
    assert sum(one.num_model_requests for one in used()) == requests + 1
    by_model = used(group_by=["model", "user_id", "api_key_id"])
    assert tokens(by_model) == before + answer.usage.total_tokens
    assert {one.model for one in by_model} >= {"scripted"}
    (mine,) = {one.api_key_id for one in by_model if one.api_key_id} - set(os.environ["OTHER_KEYS"].split())
    assert tokens(used(api_key_ids=[mine])) == tokens(one for one in by_model if one.api_key_id == mine)
    assert used(models=["no-such"]) == []


def pages_go_on():
    starts, page = [], None
    for _ in itertools.count():
        found = asking.completions(start_time=SINCE, bucket_width="1h", limit=10, page=page or "")
        starts += [bucket.start_time for bucket in found.data]
        if not found.has_more:
            break
        page = found.next_page
    assert len(starts) in (25, 26), "a day, and the hour that is not over"
    assert [later - former for former, later in itertools.pairwise(starts)] == [HOUR] * (len(starts) - 1)


def costs_are_exact():
    def cost(**more):
        found = asking.costs(start_time=SINCE, **more)
        assert {bucket.end_time - bucket.start_time for bucket in found.data} == {24 * HOUR}
        return [result for bucket in found.data for result in bucket.results]

    before = sum(one.amount.value for one in cost())
    answer = client.chat.completions.create(model="davinci", messages=[{"role": "user", "content": "Hi"}])
    after = sum(one.amount.value for one in cost())
    wanted = answer.usage.total_tokens * 0.12 / 1000  # the lecture's price of davinci
    assert abs(after - before - wanted) < 1e-12, (before, after, wanted)
    by_line = cost(group_by=["line_item"])
    assert abs(sum(one.amount.value for one in by_line) - after) < 1e-12
    assert {one.line_item for one in by_line} == {"scripted, input_tokens", "scripted, output_tokens"}
    assert {one.amount.currency for one in by_line} == {"usd"}


if __name__ == "__main__":
    globals()[sys.argv[1]]()
