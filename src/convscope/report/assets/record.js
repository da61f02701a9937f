"use strict";
// What the atlas says of one map of a layer: its record, the images in it with their classes and boxes, and its tiles.

/**
 * A whole image on a sheet of thumbnails, with its class and file name.
 * @typedef {{source: string, side: number, x: number, y: number, label: string, name: string}} Thumbnail
 *
 * One map at one epoch. present: whether the sheet has it. count: how many of the nine there are. top: which images,
 * fewer where the record of the epoch is gone; strength: the first score, null where it is gone. overlap: the share of
 * its images that stayed.
 * @typedef {{
 *   present: boolean, alive: boolean, dead: boolean, count: number, top: TopImages, strength: number | null,
 *   overlap: number | null,
 * }} MapState
 *
 * @typedef {[left: number, top: number, right: number, bottom: number]} Edges in pixels of an image
 * @typedef {"projections" | "patches"} TileKind
 */

/** @type {TopImages} */
const NO_TOP = { image: [], score: [], row: [], col: [] };

/**
 * @param {AtlasLayer} layer
 * @param {number} at place of the frame
 * @param {number | undefined} map
 * @returns {MapState}
 */
function mapState(layer, at, map) {
  const { maps, count: counts } = layer.frames[at].sheet;
  const place = map === undefined ? -1 : maps.indexOf(map);
  const top = layer.top[at]?.[place] ?? NO_TOP;
  const count = counts[place] ?? 0;
  const dead = place >= 0 && count === 0;
  const strength = top.score[0] ?? (dead ? 0 : null);
  return {
    present: place >= 0,
    alive: count > 0,
    dead,
    count,
    top,
    strength,
    overlap: layer.kept[at]?.[place] ?? null,
  };
}

/**
 * The thumbnail of an image by its index in the data; undefined where no sheet has it.
 * @param {AtlasRun} run
 * @param {number} index
 */
function imageOf(run, index) {
  run.places ??= new Map(run.atlas.sheets.flatMap((sheet) => thumbnailsOf(run, sheet)));
  return run.places.get(index);
}

/**
 * @param {AtlasRun} run
 * @param {ThumbnailSheet} sheet
 * @returns {[number, Thumbnail][]}
 */
function thumbnailsOf(run, sheet) {
  return sheet.images.map((image, at) => {
    const x = (at % sheet.columns) * sheet.tile;
    const y = Math.floor(at / sheet.columns) * sheet.tile;
    const label = run.atlas.classes[sheet.labels[at]] ?? `class ${sheet.labels[at]}`;
    return [image, { source: run.report + sheet.source, side: sheet.tile, x, y, label, name: sheet.names[at] }];
  });
}

/**
 * The classes of a map's images and how many are of each, most frequent first.
 * @param {AtlasRun} run
 * @param {TopImages} top
 * @returns {[string, number][]}
 */
function classesOf(run, top) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const image of top.image) {
    const label = imageOf(run, image)?.label ?? "unknown";
    counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  return [...counts].sort(([a, countA], [b, countB]) => countB - countA || a.localeCompare(b));
}

/**
 * The pixels that a unit sees; null where they are not known, as in a run that is not finished.
 * @param {AtlasLayer} layer
 * @param {number} row
 * @param {number} col
 * @returns {Edges | null}
 */
function boxOf(layer, row, col) {
  const { input } = layer.run.atlas;
  const { field } = layer;
  if (field === undefined || !isPresent(input)) return null;
  if (field === null) return [0, 0, input, input];
  const [left, top] = [col, row].map((place) => field.start + field.stride * place);
  return [left, top, left + field.size, top + field.size];
}

/**
 * The part of that box that its tile shows, which is cut to where the projection has its energy; null where it is all.
 * @param {GridFrame} frame
 * @param {number} map
 * @param {number} rank
 * @param {Edges | null} box
 * @returns {Edges | null}
 */
function cutOf(frame, map, rank, box) {
  const [side, corners] = frame.sheet.cuts?.[frame.sheet.maps.indexOf(map)] ?? [];
  const corner = corners?.[rank];
  if (side === undefined || !corner || !box || side >= box[2] - box[0]) return null;
  const [left, top] = [box[0] + corner[1], box[1] + corner[0]];
  return [left, top, left + side, top + side];
}

// ---------------------------------------------------------------- drawing

/**
 * Draws tiles `from` to `to` of a map, three in a row, without the paper of the gaps.
 * @param {HTMLCanvasElement} canvas
 * @param {Side} side
 * @param {number | undefined} map
 * @param {TileKind} kind
 * @param {number} [from]
 * @param {number} [to]
 */
function drawTiles(canvas, { frame: { sheet }, image }, map, kind, from = 0, to = 9) {
  const { tile, step } = sheet;
  const place = map === undefined ? -1 : sheet.maps.indexOf(map);
  const across = to - from > 1 ? tile + 2 * step : tile;
  if (canvas.width !== across) canvas.width = canvas.height = across;
  const pen = penOf(canvas);
  pen.clearRect(0, 0, across, across);
  if (place < 0 || !image.naturalWidth) return;
  const [x, y] = sheet[kind][place];
  for (let rank = from; rank < Math.min(to, sheet.count[place]); rank += 1) {
    const [sourceX, sourceY] = [x + (rank % 3) * step, y + Math.floor(rank / 3) * step];
    const at = rank - from;
    pen.drawImage(image, sourceX, sourceY, tile, tile, (at % 3) * step, Math.floor(at / 3) * step, tile, tile);
  }
}
