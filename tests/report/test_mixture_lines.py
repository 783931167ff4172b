"""What the end of a run says of a mixture."""

from __future__ import annotations

from curate.report.mixture import mixture_lines, share


def component(part: float, epochs: float = 1.0) -> dict:
    return {"share": part, "epochs": epochs}


def test_shares_epochs_and_what_models_wrote():
    """The largest first; epochs where they are not one."""
    components = {"exercises": component(0.05, 3.9999), "good": component(0.75), "textbooks": component(0.2, 0.5)}
    report = {"mixture": {"tokens": 1000, "components": components, "synthetic": 0.25}}
    assert mixture_lines(report) == [
        "tokens of good 75%, textbooks 20% (0.5 epochs), exercises 5.0% (4 epochs); a model wrote 25%"
    ]


def test_what_is_left_out():
    """A second line where there is something; many components are summed up."""
    components = {f"c{i}": component(0.1) for i in range(10)}
    left = {"documents": 1200, "tokens": 5000}
    first, second = mixture_lines(
        {"mixture": {"tokens": 1000, "components": components, "synthetic": 0, "left_out": left}}
    )
    assert first.endswith("c5 10%, 4 others 40%; a model wrote 0%")
    assert second == "left out, as no component names them: 1,200 documents of 5,000 tokens"


def test_no_mixture_no_lines():
    """Of other steps, and of a dataset of nothing."""
    assert mixture_lines({}) == []
    assert mixture_lines({"mixture": {"tokens": 0, "components": {}, "synthetic": 0.0}}) == []


def test_shares_are_never_rounded_to_nothing_or_all():
    """What is there is seen."""
    assert [share(v) for v in (0, 0.00001, 0.0003, 0.05, 0.751, 0.996, 0.9998, 1)] == [
        "0%", "<0.01%", "0.03%", "5.0%", "75%", "99.6%", "99.98%", "100%",
    ]  # fmt: skip
