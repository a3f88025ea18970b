"""A scorer without a model, as a real child process: counts words, and hangs or dies where the text says so.

Its directory is JSON: {"hang": true} never answers, {"die": true} ends at the first completion.
"""

import json
import os
import sys
import time


def main():
    for line in sys.stdin:
        asked = json.loads(line)
        how = json.loads(asked["directory"])
        if asked["completions"] and how.get("die"):
            os._exit(1)
        while asked["completions"] and how.get("hang"):
            time.sleep(1)
        texts = [one["text"] for one in asked["completions"]]
        answer = {
            "id": asked["id"],
            "scores": [float(text.count("good")) + how.get("add", 0.0) for text in texts],
            "violations": [{"insults": 0.9 if "fool" in text else 0.1, "lies": 0.2} for text in texts],
        }
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
