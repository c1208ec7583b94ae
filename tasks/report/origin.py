"""Where the classes of the pixels come from, in words: a model of this product, or a mask that was given."""

from typing import Final

from segmentation.records import ModelIdentity, RunIdentity
from tasks.report.wording import clean_text

GEODESIC: Final = "Lengths and areas are geodesic (WGS 84)."
NO_CLAIM: Final = (
    "Found means: seen by the model in the picture. Damage that is hidden, under water, in shadow, under paint or "
    "thinner than the limit may be there without being listed. A figure of this report is not a proof of absence."
)
NO_CLAIM_GIVEN: Final = (
    "Found means: drawn in the mask that was given. What its maker did not see or did not draw is not listed, and "
    "whether what was drawn is damage was not examined. A figure of this report is not a proof of absence."
)
WIDTHS_OF_MASK: Final = (
    "No picture was given with the mask, so crack widths are the distances between the edges that were drawn "
    "(distance transform): a line drawn fat gives a wide crack. The ± holds the error of a mask drawn along the "
    "crack's edges to the pixel, and a quarter of the width at least; it does not cover a line drawn with a fixed pen."
)
WIDTHS_OF_IMAGE: Final = (
    "Crack widths were measured in the picture that was given with the mask, along the lines that were drawn; where it "
    "does not show them, between the edges of the mask."
)
NOT_LOOKED_FOR: Final = "not looked for"
_CONFIDENCE: Final = "Mean probability that the model gives to the defect's pixels; not the probability of being right."
_CONFIDENCE_GIVEN: Final = (
    "1 for all that is drawn in a given mask, which has no probabilities; says nothing of being right."
)


def looked_for(run: RunIdentity, name: str) -> bool:
    """Whether this run tells of the class `name` (crack, rust): a mask of one class is silent on the other."""
    return run.given_mask is None or run.given_mask.only_class in (None, name)


def origin_fact(run: RunIdentity) -> tuple[str, str]:
    """Label and value of the title block's line on the model or the mask."""
    if run.given_mask is not None:
        return "Mask", f"given: {clean_text(run.given_mask.name)} ({run.given_mask.sha256[:12]}), no model"
    return "Model", f"{clean_text(_model(run).name)} ({_model(run).sha256[:12]})"


def origin_paragraphs(run: RunIdentity) -> tuple[str, ...]:
    """What the report says first of its method."""
    given = run.given_mask
    if given is None:
        model = _model(run)
        return (
            f"Every pixel was classified as background, crack or rust by the model {clean_text(model.name)} "
            f"(sha256 {model.sha256[:12]}…). {GEODESIC}",
        )
    pictured = f" and measured with the picture {clean_text(given.image_name)}" if given.image_name else ""
    return (
        f"The classes of the pixels were given, by the mask {clean_text(given.name)} (sha256 {given.sha256})"
        f"{pictured}. No model looked at them. {GEODESIC}",
        WIDTHS_OF_IMAGE if given.image_name else WIDTHS_OF_MASK,
    )


def no_claim(run: RunIdentity) -> str:
    """What "found" means in this run, and that nothing is proven absent."""
    return NO_CLAIM if run.given_mask is None else NO_CLAIM_GIVEN


def confidence_meaning(run: RunIdentity) -> str:
    """The glossary's line on the confidence of a defect."""
    return _CONFIDENCE if run.given_mask is None else _CONFIDENCE_GIVEN


def _model(run: RunIdentity) -> ModelIdentity:
    if run.model is None:
        raise ValueError("a run must name its model or the mask that was given, got neither")
    return run.model
