"""Writes results.csv: one line a step, in the columns of OpenAI's fine-tunes of 2023."""

import csv
from pathlib import Path

from rlhf.training import processes
from rlhf.training.fine_tuning.objectives import Figures

FILE = "results.csv"
COLUMNS = (
    "step",
    "elapsed_tokens",
    "elapsed_examples",
    "training_loss",
    "training_sequence_accuracy",
    "training_token_accuracy",
    "validation_loss",
    "validation_sequence_accuracy",
    "validation_token_accuracy",
)


class Results:
    """The file of one run, which the main process writes. On a resume from step n the lines after it are removed."""

    def __init__(self, path: Path, *, after_step: int) -> None:
        self.path = path
        if not processes.is_main():
            return
        rows = self._rows() if path.exists() and after_step else []
        valid = [row for row in rows if len(row) == len(COLUMNS) and row[0].isdigit() and int(row[0]) <= after_step]
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *valid])

    def add(self, step: int, tokens: int, examples: int, training: Figures, validation: Figures | None) -> None:
        """A line; the validation columns stay empty where nothing was measured at this step."""
        if not processes.is_main():
            return
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow([step, tokens, examples, *_figures(training), *_figures(validation)])

    def _rows(self) -> list[list[str]]:
        with self.path.open(newline="") as file:
            return list(csv.reader(file))


def _figures(found: Figures | None) -> list[str]:
    if found is None:
        return ["", "", ""]
    return [f"{value:.6f}" for value in (found.mean_loss, found.sequence_accuracy, found.token_accuracy)]
