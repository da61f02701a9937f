"use strict";
// The square of pixels that the middle unit of a row sees: its place, its words, and drawing it over an image.

/**
 * The square of a row: side and begin in pixels. whole: its units see the whole image. number: chooses its style.
 * @typedef {{name: string, kind: string, field: number, start: number, whole: boolean, number: number}} Square
 *
 * What is in view, in pixels of the image.
 * @typedef {{low: number, high: number, side: number}} Extent
 *
 * A drawn square with its name.
 * @typedef {{square: Square, parts: SVGElement[]}} Mark
 */

const MOST_SQUARES = 8;
const MOST_LETTERS = 20; // of a row's name

/**
 * The square of a row's middle unit; null where the row does not say how far its units see.
 * @param {DOMStringMap} row
 * @param {number} input
 * @returns {Square | null}
 */
function squareOf(row, input) {
  const whole = row.whole === "1";
  const field = whole ? input : Number(row.field);
  if (!field) return null;
  const middle = Math.floor((Number(row.side) - 1) / 2);
  const centered = (input - field) / 2; // a run of an older version has no start
  const start = whole ? 0 : row.start ? Number(row.start) + Number(row.stride) * middle : centered;
  return { name: row.name ?? "", kind: row.kind ?? "", field, start, whole, number: 0 };
}

/**
 * All of up to eight squares; of more only eight, each of another size, from the first to the first that covers the
 * image.
 * @param {Square[]} squares
 * @param {number} input
 */
function firstSquares(squares, input) {
  if (squares.length <= MOST_SQUARES) return squares;
  const sizes = squares.map((square) => square.field);
  const distinct = squares.filter((square, at) => sizes.indexOf(square.field) === at);
  const covering = distinct.findIndex((square) => square.field >= input);
  const candidates = covering < 0 ? distinct : distinct.slice(0, covering + 1);
  const count = Math.min(MOST_SQUARES, candidates.length);
  const step = (candidates.length - 1) / Math.max(1, count - 1);
  return Array.from({ length: count }, (_, at) => candidates[Math.round(at * step)]);
}

/**
 * @param {Square} square
 * @param {number} input
 */
function squareWords({ name, field, whole }, input) {
  if (whole) return `${name}: every unit sees the whole image.`;
  const share = `${Math.round((100 * field) / input)} % of its side`;
  const part = field > input ? "more than the image has" : share;
  return `${name}: a unit sees ${field} × ${field} of the ${input} × ${input} pixels, ${part}.`;
}

/**
 * The end of a long module path says more than its beginning.
 * @param {Square} square
 */
const shortName = ({ name }) => (name.length > MOST_LETTERS ? `…${name.slice(1 - MOST_LETTERS)}` : name);

/**
 * The image and the squares, but of those at most the image's side beyond its border.
 * @param {Square[]} squares
 * @param {number} input
 * @returns {Extent}
 */
function extentOf(squares, input) {
  const low = Math.max(-input, Math.min(0, ...squares.map((square) => square.start)));
  const high = Math.min(2 * input, Math.max(input, ...squares.map((square) => square.start + square.field)));
  return { low, high, side: high - low };
}

// ---------------------------------------------------------------- drawing

/**
 * @param {SVGElement} group
 * @param {Square} square
 * @param {string} color
 * @param {string} dash
 */
function drawSquare(group, { start, field }, color, dash) {
  const box = { x: start, y: start, width: field, height: field };
  svg("rect", { class: "under", ...box }, group);
  svg("rect", { class: "square", ...box, stroke: color, "stroke-dasharray": dash }, group);
}

/**
 * Draws the frame, the squares and, in the margin at the right, their names.
 * @param {SVGElement} canvas
 * @param {Square[]} squares
 * @param {number} input
 * @param {Extent} extent
 * @returns {Mark[]}
 */
function drawSquares(canvas, squares, input, extent) {
  const { low, high, side } = extent;
  const size = Math.min(side / 24, side / (1.2 * squares.length)); // of letters
  const pad = side * 0.02;
  const letters = Math.max(0, ...squares.map((square) => shortName(square).length));
  const margin = Math.max(side * 0.26, side * 0.05 + size * 0.66 * letters);
  canvas.setAttribute("viewBox", `${low - pad} ${low - pad} ${side + margin + 2 * pad} ${side + 2 * pad}`);
  drawFrame(canvas, input);
  const view = { x: low - pad, y: low - pad, width: side + 2 * pad, height: side + 2 * pad };
  const viewBox = Object.values(view).join(" ");
  const inside = svg("svg", { class: "squares", ...view, viewBox }, canvas); // cuts off what is beyond
  const heights = nameHeights(squares, extent, size);
  return squares.map((square) => {
    const group = svg("g", {}, inside);
    const label = svg("g", {}, canvas);
    const { color, dash } = style(square.number);
    drawSquare(group, square, color, dash);
    const [corner, height, left] = [topOf(square, extent), heights.get(square) ?? 0, side * 0.03 + high];
    const right = Math.min(high, square.start + square.field);
    const points = `${right},${corner} ${left - size * 0.5},${height} ${left},${height}`;
    svg("polyline", { class: "leader", stroke: color, points }, label);
    const text = { x: left + size * 0.3, y: height + size * 0.35, "font-size": size };
    svg("text", text, label, shortName(square));
    return { square, parts: [group, label] };
  });
}

/**
 * Draws an empty image with a mesh and a group for its pixels.
 * @param {SVGElement} canvas
 * @param {number} input
 */
function drawFrame(canvas, input) {
  const image = { x: 0, y: 0, width: input, height: input };
  svg("rect", { class: "blank", ...image }, canvas);
  for (let at = 1; at < 8; at += 1) {
    const place = (input * at) / 8;
    svg("line", { class: "mesh", x1: 0, x2: input, y1: place, y2: place }, canvas);
    svg("line", { class: "mesh", y1: 0, y2: input, x1: place, x2: place }, canvas);
  }
  svg("g", { class: "picture" }, canvas);
  svg("rect", { class: "frame", ...image }, canvas);
}

/**
 * @param {Square} square
 * @param {Extent} extent
 */
const topOf = (square, { low }) => Math.max(low, square.start);

/**
 * Where the names stand: each next to the top of its square, at least a line apart, inside the picture.
 * @param {Square[]} squares
 * @param {Extent} extent
 * @param {number} size of letters
 */
function nameHeights(squares, extent, size) {
  const order = [...squares].sort((a, b) => topOf(a, extent) - topOf(b, extent));
  /** @type {Map<Square, number>} */
  const heights = new Map();
  let free = extent.low + size * 0.4;
  for (const square of order) {
    const height = Math.max(free, topOf(square, extent));
    heights.set(square, height);
    free = height + size * 1.15;
  }
  free = extent.high - size * 0.4;
  for (const square of order.reverse()) {
    const height = Math.min(free, heights.get(square) ?? free);
    heights.set(square, height);
    free = height - size * 1.15;
  }
  return heights;
}

/**
 * Draws the first picture of a packed sheet, cut out by a view of its own.
 * @param {SVGElement} group
 * @param {ThumbnailSheet} sheet
 * @param {number} input
 */
async function drawImage(group, sheet, input) {
  const image = new Image();
  image.src = sheet.source;
  try {
    await image.decode();
  } catch {
    return; // the file is gone: the empty frame stays
  }
  const view = { x: 0, y: 0, width: input, height: input, viewBox: `0 0 ${sheet.tile} ${sheet.tile}` };
  const { naturalWidth: width, naturalHeight: height } = image;
  svg("image", { href: sheet.source, width, height }, svg("svg", view, group));
}
