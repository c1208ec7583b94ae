"""Discover: list a survey, pin and verify its objects, read its headers, refuse early.

`discover` gives the record that the run works from; `check` gives the same verdicts without a run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segmentation.errors import InputRejected
from segmentation.records import RasterInput, RejectedInput, SourceObject, Structure, Survey
from tasks.input_limits import InputLimits
from tasks.raster_checked import CheckedRaster
from tasks.raster_checker import RasterChecker, raster_checker
from tasks.slugs import unique_slugs
from tasks.staging import pin_and_stage
from tasks.storage import ObjectInfo, check_key, printable
from tasks.structures_file import overlap_warnings, read_structures, structures_of_rasters
from tasks.survey_content import content_of
from tasks.survey_files import STRUCTURES_NAME, SurveyFiles, find_survey_files
from tasks.survey_rejected import SurveyRejected, rejected_input

ACCEPT, REJECT = "ACCEPT", "REJECT"
_LOOK_BYTES = 48 << 20
"""Decoded bytes of one raster that `check` looks at: half a second of work."""


@dataclass(frozen=True, slots=True)
class InputRules:
    """How a survey is found and read, and what may be inspected."""

    endpoint_url: str | None
    """S3 endpoint; None: AWS."""
    region: str | None
    """S3 region; None: the AWS chain's."""
    staging_dir: Path
    """Folder for copies of S3 objects."""
    gsd_range_m: tuple[float, float] | None
    """GSD for which the model is offered; None: any."""
    gsd_m_override: float | None
    """GSD of rasters without a place on the earth; goes before the manifest's."""
    rgb_bands: tuple[int, int, int] | None
    """1-based bands of red, green and blue; None: by colour interpretation."""
    limits: InputLimits
    """What an upload may ask of this machine."""


@dataclass(frozen=True, slots=True)
class RasterVerdict:
    """What `check` says of one raster."""

    name: str
    """File name."""
    verdict: str
    """``ACCEPT`` or ``REJECT``."""
    code: str
    """Stable code, empty for an accepted one."""
    message: str
    """Cause and remedy in one line, or what was found out."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` says of a survey."""

    rasters: tuple[RasterVerdict, ...]
    """In the order of their names."""
    structures: tuple[Structure, ...]
    """Those of the file, with `problem` where a footprint is unusable; empty where the file is refused or absent."""
    refused_files: tuple[RejectedInput, ...]
    """structures.geojson, where it cannot be understood."""
    warnings: tuple[str, ...]
    """What was assumed or left out."""

    @property
    def accepted(self) -> bool:
        """Whether an inspection would take the whole survey."""
        return not self.refused_files and all(raster.verdict == ACCEPT for raster in self.rasters)


@dataclass(frozen=True, slots=True)
class _Opened:
    """One raster that was pinned, staged and checked."""

    name: str
    source: SourceObject
    checked: CheckedRaster


def discover(survey_uri: str, *, rules: InputRules, skip_rejected: bool) -> Survey:
    """The survey at a prefix, in a folder or of one raster, pinned and checked; S3 objects are staged on the way.

    Raises SurveyRejected (an InputRejected) with all rasters that are refused, unless `skip_rejected` and some are
    left; other InputRejected where the survey as a whole cannot be read.
    """
    files = find_survey_files(survey_uri, endpoint_url=rules.endpoint_url, region=rules.region, limits=rules.limits)
    structures_source, structures = _structures(files, rules)
    opened: list[_Opened] = []
    rejected = [_absent(name) for name in files.absent]
    with raster_checker(rules.limits) as checker:
        for found in files.rasters:
            try:
                opened.append(_open(files, found, rules, checker, with_sha256=True))
            except InputRejected as error:
                rejected.append(rejected_input(printable(found.key), error))
    if rejected and (not skip_rejected or not opened):
        raise SurveyRejected(printable(survey_uri), tuple(rejected))
    rasters = _raster_inputs(opened)
    homeless = [raster for raster in rasters if structures_source is None or raster.georeference.is_local]
    skipped = (f"{len(rejected)} rasters were refused and left out",) if rejected else ()
    return Survey(
        id=files.id,
        uri=survey_uri,
        rasters=rasters,
        structures=(*structures, *structures_of_rasters(homeless, taken=structures)),
        structures_source=structures_source,
        captured_at=files.manifest.captured_at,
        operator=files.manifest.operator,
        rejected=tuple(rejected),
        warnings=(
            *files.warnings,
            *skipped,
            *overlap_warnings(structures),
            *(line for one in opened for line in one.checked.warnings),
        ),
        content=content_of(files.listed),
    )


def check(survey_uri: str, *, rules: InputRules) -> CheckReport:
    """The verdict on each raster and on the structures, as `discover` would give it.

    Raises InputRejected where there is no survey to speak of.
    """
    files = find_survey_files(survey_uri, endpoint_url=rules.endpoint_url, region=rules.region, limits=rules.limits)
    refused: list[RejectedInput] = []
    structures: tuple[Structure, ...] = ()
    try:
        _, structures = _structures(files, rules)
    except InputRejected as error:
        refused.append(rejected_input(STRUCTURES_NAME, error))
    verdicts = {
        name: RasterVerdict(one.name, REJECT, one.code, one.message) for name in files.absent for one in [_absent(name)]
    }
    warnings = [*files.warnings, *overlap_warnings(structures)]
    with raster_checker(rules.limits) as checker:
        for found in files.rasters:
            name = printable(found.key)
            try:
                one = _open(files, found, rules, checker, with_sha256=False, most_decoded_bytes=_LOOK_BYTES)
            except InputRejected as error:
                verdicts[found.key] = RasterVerdict(name, REJECT, error.code, str(error))
            else:
                verdicts[found.key] = RasterVerdict(name, ACCEPT, "", _found_out(one.checked))
                warnings.extend((*one.checked.warnings, *_not_looked_at(name, one.checked)))
    return CheckReport(tuple(verdicts[key] for key in sorted(verdicts)), structures, tuple(refused), tuple(warnings))


def _structures(files: SurveyFiles, rules: InputRules) -> tuple[SourceObject | None, tuple[Structure, ...]]:
    if files.structures is None:
        return None, ()
    source, path = pin_and_stage(files.storage, files.structures, staging_dir=rules.staging_dir, with_sha256=True)
    return source, read_structures(path.read_bytes(), name=STRUCTURES_NAME, limits=rules.limits)


def _open(
    files: SurveyFiles,
    found: ObjectInfo,
    rules: InputRules,
    checker: RasterChecker,
    *,
    with_sha256: bool,
    most_decoded_bytes: int | None = None,
) -> _Opened:
    """Pin, stage and check one raster; raises InputRejected."""
    name = printable(check_key(found.key))
    listed = {raster.name: raster.sha256 for raster in files.manifest.rasters or ()}
    expected = listed.get(found.key)
    source, path = pin_and_stage(
        files.storage, found, staging_dir=rules.staging_dir, with_sha256=with_sha256 or expected is not None
    )
    if expected is not None and source.sha256 != expected:
        cause = f"its SHA-256 must be {expected} as survey.json says, got {source.sha256}"
        raise InputRejected("E_CHECKSUM", name, cause, "upload the file again")
    checked = checker.check(
        path,
        name=name,
        gsd_range_m=rules.gsd_range_m,
        gsd_m_override=rules.gsd_m_override if rules.gsd_m_override is not None else files.manifest.gsd_m,
        rgb_bands=rules.rgb_bands,
        most_decoded_bytes=most_decoded_bytes,
    )
    return _Opened(found.key, source, checked)


def _raster_inputs(opened: Sequence[_Opened]) -> tuple[RasterInput, ...]:
    slugs = unique_slugs((one.name.rsplit(".", 1)[0] for one in opened), fallback="raster")
    return tuple(
        RasterInput(
            name=one.name,
            slug=own_slug,
            source=one.source,
            georeference=one.checked.georeference,
            gsd_m=one.checked.gsd_m,
            dtype=one.checked.dtype,
            rgb_bands=one.checked.rgb_bands,
            value_range=one.checked.value_range,
        )
        for one, own_slug in zip(opened, slugs, strict=True)
    )


def _absent(name: str) -> RejectedInput:
    error = InputRejected(
        "E_NOT_FOUND", printable(name), "the survey must hold what survey.json names, got no such file", "upload it"
    )
    return rejected_input(printable(name), error)


def _found_out(checked: CheckedRaster) -> str:
    place = checked.georeference
    return f"{place.height} × {place.width} px, {checked.dtype}, GSD {checked.gsd_m * 1000:.4g} mm"


def _not_looked_at(name: str, checked: CheckedRaster) -> tuple[str, ...]:
    look = checked.look
    if look.looked_at == look.windows:
        return ()
    share = 100 * look.looked_at / look.windows
    return (f"{name}: {share:.2g} % of its pixels were decoded, spread evenly; an inspection decodes all first",)
