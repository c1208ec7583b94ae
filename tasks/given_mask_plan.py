"""The plan of a run on a mask that somebody else made: discovered, checked and named before a block is copied."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

from segmentation.classes import PixelClass
from segmentation.errors import InputRejected, UsageError
from segmentation.inference.geometry import blocks
from segmentation.inference.memory import MemoryProjection, refuse_above
from segmentation.measurement.grading import load_standards
from segmentation.measurement.structures import StructureIndex
from segmentation.records import GivenMask, RasterInput, SourceObject, Structure, Survey
from tasks.discover import InputRules
from tasks.given_probability import ProbabilityInput, check_probability
from tasks.mask_checks import CheckedMask, check_mask, check_same_grid
from tasks.plan import PROCESS_BYTES, MeasureSettings, RasterPlan, measure_content, stated_measure_settings
from tasks.raster_checker import raster_checker
from tasks.raster_file import GDAL_CACHE_BYTES
from tasks.report_settings import ReportSettings
from tasks.single_file import pinned_file
from tasks.slugs import slug
from tasks.storage import printable
from tasks.structures_file import overlap_warnings, read_structures, structures_of_rasters

_COPY_BYTES_PER_PX = 16
"""Values and flags as read, classes and probabilities, their shards as arrays and encoded."""


@dataclass(frozen=True, slots=True)
class MaskRequest:
    """What an operator gives to be measured: addresses in S3 or local paths."""

    mask: str
    """The mask."""
    image: str | None
    """The picture that it was drawn on, on the same grid."""
    structures: str | None
    """Footprints, GeoJSON; None: the mask is one structure."""
    single: PixelClass | None
    """The class of a mask of 0 and 255; None: a mask of class ids."""
    probability: str | None = None
    """The probability of crack, on the same grid."""
    grow_above: float | None = None
    """Cracks grow through connected pixels of at least this probability; None: they do not."""


@dataclass(frozen=True, slots=True)
class MaskInput:
    """The mask itself, pinned."""

    source: SourceObject
    """Where its bytes are."""
    single: PixelClass | None
    """The class of a mask of 0 and 255; None: a mask of class ids."""
    probability: ProbabilityInput | None = None
    """The probability of crack, if it was given."""


@dataclass(frozen=True, slots=True)
class GivenMaskPlan:
    """What a run on a given mask will do; to the stages after the masks a plan as any other (`tasks.plan.RunPlan`)."""

    survey: Survey
    """The pinned input: one raster, which is the picture where there is one, else the mask itself."""
    mask: MaskInput
    """What is copied into the run."""
    given_mask: GivenMask
    """The mask as reports name it."""
    rasters: tuple[RasterPlan, ...]
    """One, in blocks."""
    measure: MeasureSettings
    """Settings of the measurement."""
    report: ReportSettings
    """Settings of what is published."""
    memory: MemoryProjection
    """Projected peak of a worker process while it copies."""
    block_px: int
    """Side of a block and of its shard."""
    run_key: str
    """Names the run: equal for equal mask, picture, structures and settings."""
    model_limits: tuple[str, ...] = ()
    """None: there is no model."""
    model: None = None
    """There is none."""
    card: None = None
    """There is no model."""
    method: None = None
    """Nothing is inferred."""
    engine: None = None
    """Nothing is inferred."""

    def settings_that_matter(self) -> dict[str, str | int | float | bool | None]:
        """The settings that change the result, as reports and manifest state them."""
        stated = {**stated_measure_settings(self.measure), **self.report.stated()}
        stated |= {"block_px": self.block_px, "class": _named(self.mask.single)}
        if (given := self.mask.probability) is not None:
            stated |= {"probability": printable(given.source.name), "grow_cracks_above": given.grow_above}
        return stated

    @property
    def block_count(self) -> int:
        """Number of work items."""
        return sum(len(r.blocks) for r in self.rasters)

    @property
    def pixels(self) -> int:
        """Pixels of the mask."""
        return sum(r.raster.georeference.height * r.raster.georeference.width for r in self.rasters)


def discover_mask(request: MaskRequest, rules: InputRules) -> tuple[Survey, MaskInput]:
    """The mask as a survey of one raster, pinned and checked, with the picture's pixels where there is a picture.

    Raises InputRejected for a file that must not be measured, E_GRID for a picture on another grid,
    E_STRUCTURES_MISS where no footprint lies on the mask.
    """
    source, path = _pinned(request.mask, rules)
    name = printable(source.name)
    checked = check_mask(
        path, name=name, single=request.single, gsd_m_override=rules.gsd_m_override, limits=rules.limits
    )
    own_slug = slug(name.rsplit(".", 1)[0], fallback="mask")
    if request.image is None:
        one = ("uint8", (1, 1, 1), (0.0, 255.0))
        raster = RasterInput(name, own_slug, source, checked.georeference, checked.gsd_m, *one, is_mask=True)
        warnings: tuple[str, ...] = ()
    else:
        raster, warnings = _pictured(request.image, rules, checked, mask_name=name)
    probability, besides = _probability(request, rules, checked, mask_name=name)
    structures_source, structures = _structures(request.structures, raster, rules, mask_name=name)
    survey = Survey(
        id=f"{own_slug}-measured",
        uri=printable(request.mask),
        rasters=(raster,),
        structures=structures,
        structures_source=structures_source,
        warnings=(
            *_said_of_all(name, pictured=not raster.is_mask, probability=probability),
            *_said_of_one(name, request.single),
            *checked.warnings,
            *warnings,
            *besides,
            *overlap_warnings(structures),
        ),
    )
    return survey, MaskInput(source, request.single, probability)


def plan_mask(
    survey: Survey,
    mask: MaskInput,
    *,
    measure: MeasureSettings,
    report: ReportSettings,
    block_px: int,
    workers: int,
    memory_limit_bytes: int,
) -> GivenMaskPlan:
    """Plan the measurement of a given mask; raises InputRejected E_MEMORY where its blocks do not fit the limit."""
    (raster,) = survey.rasters
    measure = _of_the_class(measure, mask.single)
    memory = MemoryProjection(
        {
            "process": PROCESS_BYTES,
            "gdal cache": GDAL_CACHE_BYTES,
            "shard buffers": workers * _COPY_BYTES_PER_PX * block_px**2,
        },
        {},
    )
    refuse_above(memory, memory_limit_bytes, device_limit_bytes=None, subject=survey.id)
    image_name = None if raster.is_mask else raster.name
    place = raster.georeference
    return GivenMaskPlan(
        survey=survey,
        mask=mask,
        given_mask=GivenMask(printable(mask.source.name), mask.source.sha256, image_name, _named(mask.single)),
        rasters=(RasterPlan(raster, blocks(place.height, place.width, block_px=block_px)),),
        measure=measure,
        report=report,
        memory=memory,
        block_px=block_px,
        run_key=_run_key(survey, mask, measure, report, block_px=block_px),
    )


def _pinned(address: str, rules: InputRules) -> tuple[SourceObject, Path]:
    return pinned_file(address, staging_dir=rules.staging_dir, endpoint_url=rules.endpoint_url, region=rules.region)


def _pictured(
    address: str, rules: InputRules, checked: CheckedMask, *, mask_name: str
) -> tuple[RasterInput, tuple[str, ...]]:
    """The picture as the raster of the run, placed as the mask is, and warnings."""
    source, path = _pinned(address, rules)
    name = printable(source.name)
    with raster_checker(rules.limits) as checker:
        image = checker.check(
            path,
            name=name,
            gsd_range_m=None,
            gsd_m_override=rules.gsd_m_override,
            rgb_bands=rules.rgb_bands,
            most_decoded_bytes=None,
        )
    shifted = check_same_grid(checked.georeference, image.georeference, mask_name=mask_name, image_name=name)
    raster = RasterInput(
        name=name,
        slug=slug(name.rsplit(".", 1)[0], fallback="raster"),
        source=source,
        georeference=checked.georeference,
        gsd_m=checked.gsd_m,
        dtype=image.dtype,
        rgb_bands=image.rgb_bands,
        value_range=image.value_range,
    )
    return raster, (*shifted, *image.warnings)


def _probability(
    request: MaskRequest, rules: InputRules, checked: CheckedMask, *, mask_name: str
) -> tuple[ProbabilityInput | None, tuple[str, ...]]:
    """The probability of crack, pinned and checked, and warnings."""
    if request.probability is None:
        return None, ()
    if request.single == PixelClass.RUST:
        cause = "a probability must be that of crack, got a mask of rust alone"
        raise UsageError("E_OPTIONS", mask_name, cause, "leave --probability out, or --class rust")
    source, path = _pinned(request.probability, rules)
    warnings = check_probability(
        path,
        name=printable(source.name),
        mask=checked.georeference,
        mask_name=mask_name,
        gsd_m_override=rules.gsd_m_override,
        limits=rules.limits,
    )
    return ProbabilityInput(source, request.grow_above), warnings


def _structures(
    address: str | None, raster: RasterInput, rules: InputRules, *, mask_name: str
) -> tuple[SourceObject | None, tuple[Structure, ...]]:
    if address is None:
        return None, structures_of_rasters([raster], taken=())
    source, path = _pinned(address, rules)
    name = printable(source.name)
    structures = read_structures(path.read_bytes(), name=name, limits=rules.limits)
    if raster.georeference.is_local:
        cause = f"footprints must have a mask with a place on the earth, got {mask_name} in a local frame"
        remedy = "write the mask's CRS into it, or leave --structures out: the mask is then one structure"
        raise InputRejected("E_STRUCTURES_MISS", name, cause, remedy)
    usable = [structure for structure in structures if structure.problem is None]
    index = StructureIndex(usable, raster.georeference, raster_name=raster.name)
    if usable and all(index.footprint_window(number) is None for number in range(len(usable))):
        cause = f"a footprint must lie on {mask_name}, got {len(usable)} that all lie beside it"
        remedy = "check the CRS of both (GeoJSON is WGS 84, longitude first), or give the mask of these structures"
        raise InputRejected("E_STRUCTURES_MISS", name, cause, remedy)
    return source, structures


def _said_of_all(name: str, *, pictured: bool, probability: ProbabilityInput | None) -> tuple[str, ...]:
    given = (
        f"The mask {name} was given and not made by a model: what is not drawn in it is not found, and it was not "
        "examined whether what is drawn is damage. "
    )
    if probability is None:
        given += "It has no probabilities; confidence is 1 by definition."
    else:
        given += f"The confidence of cracks is the probability in {printable(probability.source.name)}, that of rust 1."
    if probability is not None and probability.grow_above is not None:
        given += (
            f" Cracks were grown by a threshold with hysteresis (Canny, 1986): background of probability "
            f"{probability.grow_above:g} and above became crack where it is connected with a crack of the mask."
        )
    if pictured:
        return (given,)
    widths = (
        "No picture was given: crack widths come from the mask alone (method distance) and are as wide as they were "
        "drawn; their ± is wide and does not cover lines drawn with a fixed pen."
    )
    return given, widths


def _said_of_one(name: str, single: PixelClass | None) -> tuple[str, ...]:
    if single is None:
        return ()
    one, other = ("crack", "rust") if single == PixelClass.CRACK else ("rust", "crack")
    return (
        f"The mask {name} holds {one} alone: {other} was not looked for, a figure of 0 for it means nothing, and no "
        f"standard for {other} was applied.",
    )


def _of_the_class(measure: MeasureSettings, single: PixelClass | None) -> MeasureSettings:
    """The settings without the standards for a class that was not looked for: they would grade it as undamaged."""
    if single is None:
        return measure
    kept = (n for n in measure.standards if load_standards((n,))[0].pixel_class == single)
    return replace(measure, standards=tuple(kept))


def _named(single: PixelClass | None) -> str | None:
    return None if single is None else single.name.lower()


def _run_key(
    survey: Survey, mask: MaskInput, measure: MeasureSettings, report: ReportSettings, *, block_px: int
) -> str:
    """16 hex digits of the hash of all that changes the result, and of nothing else."""
    (raster,) = survey.rasters
    content = {
        "mask": [mask.source.name, mask.source.sha256, None if mask.single is None else int(mask.single)],
        "probability": mask.probability and [mask.probability.source.sha256, mask.probability.grow_above],
        "image": None if raster.is_mask else asdict(replace(raster, source=_content_of(raster.source))),
        "place": asdict(raster.georeference),
        "structures": survey.structures_source.sha256 if survey.structures_source else None,
        "block_px": block_px,
        "measure": measure_content(measure),
        "report": report.stated(),
        "spanscan": version("spanscan"),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _content_of(source: SourceObject) -> SourceObject:
    """A source by its content alone: the same bytes elsewhere are the same input."""
    return SourceObject("", source.size_bytes, "", None, source.sha256)
