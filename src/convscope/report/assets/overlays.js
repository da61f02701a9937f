"use strict";
// Curves of several runs over each other. The line nearest to the pointer, or to the place that the arrow keys choose,
// says its run and value.

/** @typedef {{row: number, at: number}} Point which line, and the place of the epoch */

/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const MOST_NAMES = 12; // at the ends of the lines

/**
 * @param {ChartSpec} spec
 * @param {number[]} epochs
 * @param {Scale} scale
 * @param {number} left pixels on the canvas
 * @param {number} top
 * @returns {Point | null}
 */
function nearestPoint(spec, epochs, { x, y }, left, top) {
  let nearest = null;
  let distance = Infinity;
  spec.lines.forEach((line, row) =>
    line.values.forEach((value, at) => {
      const away = isPresent(value) ? (x(epochs[at]) - left) ** 2 + (y(value) - top) ** 2 : Infinity;
      if (away < distance) [nearest, distance] = [{ row, at }, away];
    }),
  );
  return nearest;
}

/**
 * The point that an arrow leads to: along a line to its nearest measured epoch, or to the next line.
 * @param {ChartSpec} spec
 * @param {number[]} epochs
 * @param {Point | null} place null: before the first step
 * @param {[number, number]} arrow
 * @returns {Point}
 */
function steppedPoint(spec, epochs, place, [down, along]) {
  const start = place ?? { row: 0, at: epochs.length - 1 - along };
  const row = (start.row + down + spec.lines.length) % spec.lines.length;
  const places = epochs.map((_, at) => at).filter((at) => isPresent(spec.lines[row].values[at]));
  return { row, at: places[nearestPlace(places, start.at + along)] };
}

/**
 * @param {Element} holder
 * @param {ChartSpec} spec
 * @param {number[]} epochs
 */
function overlay(holder, spec, epochs) {
  const box = html("div", { class: "chart overlay" }, holder);
  html("h3", {}, box, spec.title);
  const readout = html("div", { class: "readout", role: "status" }, box);
  const canvas = svg("svg", { role: "img", tabindex: 0, "aria-label": spoken(spec, epochs) }, box);
  const few = spec.lines.length <= MOST_NAMES;
  const lines = few ? spec.lines : spec.lines.map((line) => ({ ...line, short: "" }));
  /** @type {Point | null} */
  let place = null;
  let { scale, dot } = drawOverlay(canvas, { ...spec, lines }, epochs);

  const point = (/** @type {Point | null} */ next) => {
    place = next;
    canvas
      .querySelectorAll("path.line")
      .forEach((path, row) => path.classList.toggle("near", next !== null && row === next.row));
    canvas.classList.toggle("pointed", next !== null);
    dot.style.display = next ? "" : "none";
    readOutPoint(readout, spec, epochs, next);
    if (!next) return;
    dot.setAttribute("cx", String(scale.x(epochs[next.at])));
    dot.setAttribute("cy", String(scale.y(Number(spec.lines[next.row].values[next.at]))));
  };
  const draw = () => {
    ({ scale, dot } = drawOverlay(canvas, { ...spec, lines }, epochs));
    point(null);
  };
  canvas.addEventListener("keydown", (event) => {
    if (!Object.hasOwn(ARROWS, event.key)) return;
    event.preventDefault();
    point(steppedPoint(spec, epochs, place, ARROWS[event.key]));
  });
  canvas.addEventListener("pointermove", (event) => {
    const corner = canvas.getBoundingClientRect();
    point(nearestPoint(spec, epochs, scale, event.clientX - corner.left, event.clientY - corner.top));
  });
  canvas.addEventListener("pointerleave", () => point(null));
  point(null);
  let drawnWidth = canvas.clientWidth;
  new ResizeObserver(() => {
    if (canvas.clientWidth === drawnWidth) return;
    drawnWidth = canvas.clientWidth;
    draw();
  }).observe(canvas);
}

/**
 * @param {SVGSVGElement} canvas
 * @param {ChartSpec} spec
 * @param {number[]} epochs
 */
function drawOverlay(canvas, spec, epochs) {
  const scale = redrawAxes(canvas, spec, epochs);
  drawLines(canvas, spec, epochs, scale);
  return { scale, dot: svg("circle", { class: "dot", r: 6 }, canvas) };
}

/**
 * @param {Element} readout
 * @param {ChartSpec} spec
 * @param {number[]} epochs
 * @param {Point | null} place
 */
function readOutPoint(readout, spec, epochs, place) {
  readout.replaceChildren();
  if (!place) {
    html("span", {}, readout, "point at a line to read it");
    return;
  }
  const line = spec.lines[place.row];
  const item = html("span", {}, readout);
  sample(line.number, item);
  item.append(`${line.name} `);
  html("b", {}, item, valueText(line.values[place.at], spec.share, spec.digits));
  html("span", {}, readout, `epoch ${epochs[place.at]}`);
}
