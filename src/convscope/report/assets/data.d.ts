// What data.js and the layers' scripts of the atlas hold, as the package writes them into a run folder.

/** One column of metrics.csv; null where nothing was measured. */
type Column = (number | null)[];
type Columns = Record<string, Column>;

/** A picture that is shown as it is. epoch: null for one of the whole run. drawings: by svg and pdf, their addresses. */
interface PictureFrame {
  epoch: number | null;
  source: string;
  caption: string;
  drawings?: Record<string, string>;
}
interface PictureSeries {
  name: string;
  layer: string | null;
  frames: PictureFrame[];
}

/** Where the tiles of each map stand on a packed grid, in pixels. cuts: side of a map's tiles and their corners in the field. */
interface TileSheet {
  tile: number;
  step: number;
  maps: number[];
  count: number[];
  projections: [number, number][];
  patches: [number, number][];
  rule?: string;
  cuts?: [number, [number, number][]][];
}
/** The strongest projection of each map at one epoch, in reading order: small where the grid is large. */
interface StripSheet {
  source: string;
  tile: number;
  columns: number;
  maps: number[];
}
/** strip: absent in runs of version 0.1 and of jobs. */
interface GridFrame {
  epoch: number | null;
  source: string;
  sheet: TileSheet;
  strip?: StripSheet;
}
interface ThumbnailSheet {
  source: string;
  tile: number;
  columns: number;
  images: number[];
  labels: number[];
  names: string[];
}

/** The images that excite one map, strongest first: index in the data, score, and the unit's place. */
interface TopImages {
  image: number[];
  score: number[];
  row: number[];
  col: number[];
}

/** field: what one unit sees; null for the whole image, absent where that is not known. partners: where `shown` are matches. */
interface LayerOverview {
  name: string;
  script: string;
  shown: number[];
  maps?: number;
  side?: number;
  field?: { size: number; stride: number; start: number } | null;
  partners?: Partner[];
}

/** The part that a map answers to, by a dissection. detector: whether it detects the part. */
interface MapLabel {
  part: string;
  iou: number;
  detector: boolean;
}

/** A map, the map of another run that matches it, their correlation, and 1 where shuffled images give less. */
type Partner = [map: number, partner: number, correlation: number, recurs: number];

/** By frame: the record of each shown map, the share of its images that stayed, and the layer's dead maps. */
interface LayerRecord {
  frames: GridFrame[];
  top: TopImages[][];
  kept: (Column | null)[];
  dead?: (number[] | null)[];
  labels?: (MapLabel | null)[];
}
interface AtlasOverview {
  input: number | null;
  classes: string[];
  epochs: (number | null)[];
  layers: LayerOverview[];
  parts?: string[];
  sheets: ThumbnailSheet[];
  beside: RunBeside[];
}

/** A run to compare with. matched: its maps that match those of this run. command: what to type to find these. */
interface RunBeside {
  title: string;
  folder: string;
  report: string;
  matched?: AtlasOverview;
  command?: string;
}
interface RunData {
  series: PictureSeries[];
  metrics: Columns;
  atlas: AtlasOverview | null;
  words?: Record<string, string>;
  written?: number;
}

/** What status.js says of a run that goes on. beat: its last sign of life, in seconds. page: when data.js was written. */
interface LiveStatus {
  state: string;
  words: string;
  beat: number;
  page: number;
  silent: number;
}

/** A row of a sweep. written: when the run's own page was, null where it has no maps to compare. */
interface SweepRun {
  id: string;
  name: string;
  number: number;
  address: string;
  within: string;
  folder: string;
  written: number | null;
  epochs: number[];
  columns: Columns;
}

interface Window {
  DATA?: RunData;
  STATUS?: LiveStatus;
  PARTS?: Record<string, string>;
  ATLAS?: Record<string, LayerRecord>;
  SWEEP?: { runs: SweepRun[]; words?: Record<string, string> };
}

/** A photograph of the page on which parts are marked. path: of the csv. source, width, height: null before it was opened. */
interface Photograph {
  path: string;
  source: string | null;
  width: number | null;
  height: number | null;
  file?: File;
}
interface MarkedPart {
  name: string;
  box: boolean;
}
/** A point, or a box from x, y to x1, y1, in pixels of the upright photograph. more: further columns of a csv. */
interface PlacedMark {
  part: string;
  x: number;
  y: number;
  x1?: number;
  y1?: number;
  more?: Record<string, string>;
}
/** root: where the photographs lie, as people type it. folder: by which this browser remembers the marks. */
interface Annotation {
  root: string;
  folder: string;
  photographs: Photograph[];
  parts: MarkedPart[];
  program: string;
}
interface Window {
  ANNOTATION?: Annotation;
}
