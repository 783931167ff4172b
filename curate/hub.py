"""Failures of the Hugging Face hub as errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from curate.errors import CurateError, EndpointError, InputError


@contextmanager
def failures(place: str, *, correct: str, instead: str) -> Iterator[None]:
    """Raise InputError where the hub has no such thing, or only for others, and EndpointError where it can't be read.

    Args:
        place: the dataset.
        correct: where its name and revision are said, for the cure.
        instead: what can be given in its place, for the cure.
    """
    from huggingface_hub import errors

    try:
        yield
    except CurateError:
        raise
    except errors.GatedRepoError:
        cure = "accept its terms on the hub, then set HF_TOKEN"
        raise InputError("the dataset is gated", place=place, cure=cure) from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
        raise InputError(
            "the hub has no such dataset, or not this revision of it",
            place=place,
            cure=f"correct {correct}, or set HF_TOKEN",
        ) from None
    except Exception as error:  # noqa: BLE001 - HTTP libraries' own kinds differ between versions of huggingface_hub
        why = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise EndpointError(
            f"the hub can't be reached or read ({why})",
            place=place,
            cure=f"check the network and HF_ENDPOINT, or give {instead}",
        ) from None
