"""Contents of training files."""

import json


def jsonl(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def pairs(count=12):
    return jsonl(*({"prompt": f"Question {n} ->", "completion": f" Answer {n}\n"} for n in range(count)))
