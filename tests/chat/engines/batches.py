"""Completions of a batch of the transformers engine without its server."""


def job(ids, **changed):
    from chat.engines.transformers_batch import PromptJob

    usual = {
        "n": 1,
        "max_tokens": 20,
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "seed": 1,
        "stop": (),
        "logprobs": None,
    }
    return PromptJob(ids, **{**usual, **changed})


def run(batch, *jobs):
    """(ids, text, finish reason, what was told of tokens) of every completion, in order."""
    news, rows = {}, []
    for asked in jobs:
        first = len(rows)
        rows += batch.add(asked, lambda w, first=first: news.setdefault(first + w.index, []).append(w))
    while not batch.is_idle:
        batch.work()
    return [
        (
            row.ids,
            "".join(w.text for w in news[i]),
            news[i][-1].finish_reason,
            [token for w in news[i] for token in w.tokens],
        )
        for i, row in enumerate(rows)
    ]
