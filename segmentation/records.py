"""The typed records that travel between the stages: survey in, plan, results out.

Plain frozen data, so that each can be printed, compared, hashed and sent to a Dask worker.
"""

from dataclasses import dataclass, field
from datetime import datetime

from shapely.geometry.base import BaseGeometry

from segmentation.classes import PixelClass
from segmentation.georeference import Georeference
from segmentation.windows import Window


@dataclass(frozen=True, slots=True)
class SourceObject:
    """One object of a survey, pinned: reading it later gives these bytes or an error."""

    uri: str
    """``s3://bucket/key`` (key decoded) or an absolute local path."""
    size_bytes: int
    """Size when it was pinned."""
    etag: str
    """S3 entity tag, or for a local file ``mtime_ns-size``."""
    version_id: str | None
    """S3 version, None where the bucket keeps none."""
    sha256: str
    """Checksum of the whole content, hex."""

    @property
    def name(self) -> str:
        """The file name as an operator knows it."""
        return self.uri.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class RasterInput:
    """One georeferenced raster of a survey whose header was checked."""

    name: str
    """File name without directory, unique in the survey."""
    slug: str
    """Name safe as a path and as a Zarr group, unique in the survey."""
    source: SourceObject
    """Where its bytes are."""
    georeference: Georeference
    """Its place, size and scale."""
    gsd_m: float
    """GSD at the raster's centre, metres per pixel."""
    dtype: str
    """``uint8`` or ``uint16``."""
    rgb_bands: tuple[int, int, int]
    """1-based band numbers of red, green, blue, from the colour interpretation."""
    value_range: tuple[float, float]
    """Values mapped to 0 and 255 (linear); (0, 255) for uint8."""
    is_mask: bool = False
    """Whether the source is a mask and no picture: nothing but the mask tells of the damage."""


@dataclass(frozen=True, slots=True)
class Structure:
    """An inspected asset with a footprint."""

    id: str
    """Id as given, as text."""
    name: str
    """Name as given; any characters."""
    slug: str
    """Name safe as a path, unique in the survey."""
    kind: str
    """bridge, tower, façade, deck, pavement…; free text."""
    material: str
    """concrete, steel, asphalt, masonry…; free text, lower case."""
    footprint: BaseGeometry | None
    """Polygon or multipolygon in WGS 84 (lon, lat); None: the raster's own footprint is the structure."""
    problem: str | None = None
    """Why it cannot be inspected (invalid polygon); None where it can."""
    raster_name: str | None = None
    """Set where `footprint` is None: the raster that is this structure."""
    component_of: str | None = None
    """Id of the structure that it is a named part of; None for a structure of its own."""


@dataclass(frozen=True, slots=True)
class RejectedInput:
    """An input that was refused, with its reason."""

    name: str
    """File name."""
    code: str
    """Stable code, ``E_…``."""
    message: str
    """Cause and remedy in one line."""


@dataclass(frozen=True, slots=True)
class SurveyContent:
    """What lay in a survey's prefix or folder when it was listed."""

    name: str
    """Names the content: 16 hex digits of the hash of names, sizes and entity tags of what makes the survey."""
    changed_at: datetime | None
    """When the last of it was written, by the clock of the server that keeps it."""


@dataclass(frozen=True, slots=True)
class Survey:
    """One flight campaign: the flow's input, pinned and checked."""

    id: str
    """Last part of its prefix or folder."""
    uri: str
    """Prefix or folder it came from."""
    rasters: tuple[RasterInput, ...]
    """In the order of their names."""
    structures: tuple[Structure, ...]
    """In the order of the file; one per raster where there is no file."""
    structures_source: SourceObject | None
    """The structures.geojson, None where there is none."""
    captured_at: str | None = None
    """ISO 8601, from the manifest."""
    operator: str | None = None
    """From the manifest."""
    rejected: tuple[RejectedInput, ...] = ()
    """Inputs left out, when the operator asked to go on without them."""
    warnings: tuple[str, ...] = ()
    """What the reader of the report must know about the input."""
    content: SurveyContent | None = None
    """By which a newer upload is told from an older one; None where the survey was not listed."""


@dataclass(frozen=True, slots=True)
class CrackBranch:
    """One line of a crack between ends and junctions; widths None where they cannot be measured."""

    length_m: float
    """Geodesic length."""
    orientation_deg: float
    """Main direction, from east towards north, [0, 180)."""
    tortuosity: float | None
    """Length over the distance between its ends; None for a ring."""
    max_width_mm: float | None
    p95_width_mm: float | None
    mean_width_mm: float | None
    median_width_mm: float | None
    widest_at: tuple[float, float] | None
    """(row, col) in raster pixels of the widest point."""


@dataclass(frozen=True, slots=True)
class CrackEnd:
    """An open end of a crack, in raster pixels."""

    row: float
    col: float
    heading_deg: float
    """The way the crack would go on, on the ground, from east towards north, [0, 360)."""


@dataclass(frozen=True, slots=True)
class CrackMeasure:
    """Size of one crack inside one structure."""

    length_m: float
    """Geodesic length of the centre lines."""
    max_width_mm: float
    """Largest width along it."""
    p95_width_mm: float
    """95th percentile of the width along it."""
    mean_width_mm: float
    """Mean width along it."""
    width_uncertainty_mm: float
    """± of the largest width, about 95 %; formula in `segmentation.measurement.cracks`."""
    width_method: str
    """``profile`` (orthogonal profiles) or ``distance`` (between the mask's edges, where profiles failed)."""
    widest_at: tuple[float, float]
    """(row, col) in raster pixels of the widest point."""
    resolvable_width_mm: float
    """The least width that this GSD carries; widths below it are stated as "< this"."""
    profile: tuple[tuple[float, float], ...] = ()
    """(distance along in m, width in mm) of the longest branch, at most some 200 points, for the report."""
    median_width_mm: float | None = None
    """Median width along it."""
    orientation_deg: float | None = None
    """Main direction of all its lines, from east towards north, [0, 180)."""
    tortuosity: float | None = None
    """Length of its branches over the distances between their ends."""
    branches: tuple[CrackBranch, ...] = ()
    """Its lines between ends and junctions, longest first."""
    ends: tuple[CrackEnd, ...] = ()
    """Its open ends."""
    junction_count: int = 0
    """Places at which three of its lines or more meet."""
    bridged_m: float = 0.0
    """Share of `length_m` that bridges gaps at which it was not seen."""
    bridged_gaps: int = 0
    """Number of those gaps."""
    mean_width_uncertainty_mm: float | None = None
    """± of the mean width, about 95 %: less than that of the largest."""

    @property
    def stated_mean_uncertainty_mm(self) -> float:
        """The ± to state with the mean width: its own, that of the largest where it has none."""
        own = self.mean_width_uncertainty_mm
        return self.width_uncertainty_mm if own is None else own


@dataclass(frozen=True, slots=True)
class Defect:
    """One connected finding of a class inside one structure, as seen in one raster."""

    id: str
    """Unique in the survey: ``C-0001`` (crack), ``R-0001`` (rust); "" until numbered."""
    pixel_class: PixelClass
    """CRACK or RUST."""
    structure_id: str
    """The structure it lies on."""
    raster_name: str
    """The raster it was measured in."""
    window: Window
    """Its pixel rectangle in that raster."""
    pixel_geometry: BaseGeometry
    """Centre lines (crack, MultiLineString) or outline (rust, MultiPolygon) as (col, row) in raster pixels."""
    geometry: BaseGeometry | None
    """The same in WGS 84 (lon, lat); None for a local frame."""
    area_m2: float
    """Geodesic area of its pixels."""
    confidence: float
    """Mean probability of its class over its pixels, [0, 1]."""
    crack: CrackMeasure | None
    """Length and widths of a crack; None for rust."""
    below_resolution: bool
    """Whether its width is below what the GSD can carry; then it is never graded by width."""
    condition_state: str | None = None
    """CS1, CS2, CS3 by the first standard that applies; None where none does."""
    possible_states: tuple[str, ...] = ()
    """All condition states that its ± allows, best first; empty where it has none."""
    component_id: str | None = None
    """The named part of its structure that it lies on; None where on none."""


@dataclass(frozen=True, slots=True)
class CrackSummary:
    """Cracks of one structure."""

    count: int
    total_length_m: float
    density_m_per_m2: float
    """Length per inspected area."""
    max_width_mm: float | None
    """None where no crack is wide enough to be measured."""
    p95_width_mm: float | None
    mean_width_mm: float | None
    below_resolution_count: int
    below_resolution_share: float = 0.0
    """Share of the length that is below what the GSD can carry, [0, 1]."""
    bridged_length_m: float = 0.0
    """Share of `total_length_m` that bridges gaps at which no crack was seen."""
    spacing_m: float | None = None
    """Typical distance between cracks (`segmentation.measurement.patterns`); None for a single crack that is no net."""
    pattern: str | None = None
    """``isolated``, ``parallel`` or ``map`` by the rule of `segmentation.measurement.patterns`; None without cracks."""


@dataclass(frozen=True, slots=True)
class RustSummary:
    """Rust of one structure."""

    patch_count: int
    area_m2: float
    percent_of_inspected: float
    denominator: str
    """In words, what the percentage is of."""
    astm_d610_grade: int | None
    """10 … 0; None where not applicable (not a steel surface, nothing inspected)."""
    astm_d610_distribution: str | None
    """spot, general, pinpoint or hybrid; None without rust or where not applicable."""
    iso_4628_3_ri: str | None
    """Ri 0 … Ri 5; None where not applicable."""
    denominator_area_m2: float = 0.0
    """Area that the percentage is of."""
    largest_patch_m2: float | None = None
    """Area of the largest patch; None without rust."""
    beside_denominator_m2: float = 0.0
    """Area of the rust class outside the surface that the percentage is of: staining, or rust of something else."""
    staining: str = ""
    """In words, how far staining is told from rust."""


@dataclass(frozen=True, slots=True)
class Grade:
    """One standard's word on one structure."""

    standard: str
    version: str
    element: str
    """What the standard calls the thing graded."""
    quantities: dict[str, float]
    """Quantity per condition state (CS1, CS2, CS3), empty for a single grade."""
    unit: str
    """Unit of the quantities."""
    grade: str
    """The grade in the standard's own words, for instance ``6-G`` or ``CS2``."""
    rule: str
    """The rule that was applied, in words with its figures."""
    source: str
    """Where the thresholds come from."""
    limits: str = ""
    """The limits that were applied, with their unit, from the table's own figures."""


@dataclass(frozen=True, slots=True)
class LimitLine:
    """The cracks of one structure beside one reference width."""

    limit_mm: float
    """The reference width."""
    conditions: str
    """For which exposure or use the standard names it."""
    over_count: int
    """Cracks wider than it also by the lower end of their ±."""
    over_length_m: float
    """Their length."""
    unclear_count: int
    """Cracks whose ± straddles it."""
    unclear_length_m: float
    """Their length."""
    below_a_pixel: bool
    """Whether it is narrower than a pixel, so that wider cracks may be there unseen."""


@dataclass(frozen=True, slots=True)
class LimitComparison:
    """The cracks of one structure beside the reference widths of one standard: a comparison, not a grade."""

    standard: str
    version: str
    element: str
    lines: tuple[LimitLine, ...]
    """By ascending width."""
    not_compared_count: int
    """Cracks below resolution, whose width is not known."""
    not_compared_length_m: float
    """Their length."""
    limits: str
    """The widths with their conditions, from the table's own figures."""
    rule: str
    source: str


@dataclass(frozen=True, slots=True)
class StructureResult:
    """All that a report says of one structure."""

    structure: Structure
    footprint_area_m2: float | None
    """Geodesic area of the footprint; None where the polygon is unusable."""
    inspected_area_m2: float
    """Area of its pixels that were inspected, each place counted once."""
    coverage_percent: float
    """Inspected share of the footprint."""
    gsd_mm: float | None
    """Area-weighted GSD over what was inspected; None where nothing was."""
    cracks: CrackSummary
    rust: RustSummary
    defects: tuple[Defect, ...]
    """Worst first."""
    grades: tuple[Grade, ...]
    not_inspected_reason: str | None = None
    """Set where nothing was inspected: then no figure above may be read as "clean"."""
    limit_comparisons: tuple[LimitComparison, ...] = ()
    """Reference widths that apply."""
    components: tuple["StructureResult", ...] = ()
    """Its named parts with their own quantities, which those above hold too."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which weights made the mask."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class GivenMask:
    """A mask that somebody else made, where no model did."""

    name: str
    """Its file name."""
    sha256: str
    """Checksum of the file."""
    image_name: str | None
    """File name of the picture that belongs to it; None: crack widths come from the mask alone."""
    only_class: str | None = None
    """crack or rust, where it is a mask of that class alone: the other was not looked for."""


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What one run was, as its reports state it."""

    run_key: str
    survey_id: str
    model: ModelIdentity | None
    """None where the masks were given."""
    settings: dict[str, str | int | float | bool | None]
    """The settings that change the result."""
    spanscan_version: str
    captured_at: str | None = None
    operator: str | None = None
    warnings: tuple[str, ...] = field(default=())
    """What the reader must know: rejected inputs, defects outside every structure, model limits."""
    given_mask: GivenMask | None = None
    """The mask that was given in place of a model's; None where a model made it."""
