"""The folder of a run: what is in it, and whether a run may go on there."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from fidip.errors import DataWarning, StorageError, WeightsError
from fidip.files import new_folder, output_folder
from fidip.training.checkpoint import difference, read_facts
from fidip.training.journal import Journal

CHECKPOINT = "checkpoint"
BEST = "best.safetensors"
SUMMARY = "best.json"
HISTORY = "history.jsonl"
TIMINGS = "timings.jsonl"


def run_folder(out: Path, resume: bool) -> Path:
    """The folder of a run: new, or with ``resume`` that of a run, or one that is empty.

    Raises:
        StorageError: it holds a run that is not to be resumed, or something else, or cannot be written to.
    """
    if not resume:
        if (out / CHECKPOINT).exists():
            raise StorageError(f"{out}: holds a run already; add --resume to go on with it, or choose another --out")
        return new_folder(out)
    others = sorted({path.name for path in output_folder(out).iterdir()} - {BEST, SUMMARY, HISTORY, TIMINGS})
    if others and CHECKPOINT not in others:
        raise StorageError(f"{out}: holds {others[0]} and no checkpoint to resume; choose another --out")
    return out


def resumed_journal(checkpoint: Path, identity: dict[str, Any], here: dict[str, Any]) -> Journal:
    """Where the folder's run stands, if its checkpoint is of this very run; else at the beginning.

    ``identity`` is what must be as it was, ``here`` what is only told of if it is not.

    Raises:
        WeightsError: the checkpoint is damaged, or of another run; the first difference is named.
    """
    if not checkpoint.exists():
        return Journal()
    facts = read_facts(checkpoint)
    try:
        before, where, journal = facts["identity"], facts["machine"], Journal(**facts["journal"])
    except (KeyError, TypeError) as error:
        problem = f"written by another version of this program ({type(error).__name__}: {error})"
        raise WeightsError(f"{checkpoint}: {problem}; choose another --out") from error
    found = difference(_decisive(before), _decisive(json.loads(json.dumps(identity))))
    if found:
        remedy = "resume with the settings and files of before, or choose another --out"
        raise WeightsError(f"{checkpoint}: belongs to another run: {found}; {remedy}")
    if moved := difference(where, here):
        warnings.warn(f"{checkpoint}: {moved}: the result may differ in its last bits", DataWarning, stacklevel=2)
    return journal


def _decisive(identity: dict[str, Any]) -> dict[str, Any]:
    """What must be as before for a run to go on: one that stopped at something not finite may go on and skip it."""
    recipe = {name: value for name, value in identity.get("recipe", {}).items() if name != "not_finite"}
    return {**identity, "recipe": recipe}
