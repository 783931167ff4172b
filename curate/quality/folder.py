"""What lies in a classifier's folder: ``settings.json`` says its kind, how it reads text and how it was trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from curate.errors import InputError
from curate.quality.text_form import TextForm

SETTINGS_FILE: Final = "settings.json"
FOLDS_FILE: Final = "folds.npz"
"""Where models for cross-fitting lie beside the model: which content is in which fold (``curate.quality.cross_fit``)."""


class Description(BaseModel):
    """The content of ``settings.json``.

    Attributes:
        kind: which class reads the model beside it (``curate.quality.classifier.KINDS``).
        form: what is done to a text before its words are looked at.
        settings: how the model was trained, for those who read it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    form: TextForm = TextForm()
    settings: dict[str, Any] = {}

    def write(self, folder: Path) -> None:
        """Write it to a folder that exists."""
        text = json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True) + "\n"
        (folder / SETTINGS_FILE).write_text(text, encoding="utf-8")


def no_model(folder: Path) -> InputError:
    """The error for a folder without a trained model."""
    return InputError(
        "no trained classifier in this folder",
        place=str(folder),
        cure="train one with a 'train.classifier' step and name that step, or run 'curate train'",
    )


def describe(folder: Path) -> Description:
    """The folder's description; raises InputError if there is none, or none that can be read."""
    path = folder / SETTINGS_FILE
    if not path.is_file():
        raise no_model(folder)
    try:
        return Description.model_validate_json(path.read_bytes())
    except ValueError as error:
        first = "; ".join(str(error).splitlines()[:2])
        raise InputError(f"not the settings of a classifier: {first}", place=str(path), cure="train it again") from None
