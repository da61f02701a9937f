"use strict";
// Curves as inline SVG from the columns of metrics.csv. Lines differ by color, dash and marker.

/**
 * Where values and epochs stand on a canvas. levels: values with a line of the grid, and their texts. left: its margin.
 * @typedef {{
 *   width: number, left: number, levels: {value: number, text: string}[],
 *   x: (epoch: number) => number, y: (value: number) => number,
 * }} Scale
 */

const DASHES = ["", "7 4", "2 3", "9 3 2 3", "12 4", "4 4"];
const MARKERS = [
  "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0",
  "M-3-3H3V3H-3Z",
  "M0-4L4 3H-4Z",
  "M0-4.5L4.5 0L0 4.5L-4.5 0Z",
  "M-4-3H4L0 4Z",
  "M-1-4H1V-1H4V1H1V4H-1V1H-4V-1H-1Z",
];
const LAYER_COLORS = 12; // --layer-0 to --layer-11
const MARGIN = { left: 46, right: 86, top: 10, bottom: 24 };
const HEIGHT = 230;

/**
 * Six lines differ in all three; the next six take the same colors with the next dash and marker, and so on for 36.
 * Layers grow lighter from the pixels up, as in the figures (plots/series.py).
 * @param {number} number
 * @param {number} [layers] how many layers there are, if the line is that of a layer
 */
function style(number, layers) {
  const turn = (number + Math.floor(number / 6)) % 6;
  const step = layers ? Math.floor((number * (LAYER_COLORS - 1)) / Math.max(1, layers - 1) + 0.5) : 0;
  const color = layers ? `var(--layer-${step})` : `var(--line-${number % 6})`;
  return { color, dash: DASHES[turn], marker: MARKERS[turn] };
}

/**
 * Ticks 1, 2 or 5 times a power of ten apart, about four of them, around low..high.
 * @param {number} low
 * @param {number} high
 */
function ticks(low, high) {
  const span = high - low || Math.abs(high) || 1;
  const power = 10 ** Math.floor(Math.log10(span / 4));
  const step = [1, 2, 5].map((times) => times * power).find((size) => span / size <= 5) ?? 10 * power;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, at) => (first + at) * step);
}

/**
 * One decimal as Python rounds it, to the even digit where both are as near: 31.25 is 31.2, as in the page's text.
 * @param {number} share
 */
function percent(share) {
  const value = 100 * share;
  return `${(Math.abs(value % 1) === 0.25 ? value - 0.05 * Math.sign(value) : value).toFixed(1)} %`;
}

/**
 * @param {number | null | undefined} value
 * @param {boolean} [share]
 * @param {number} [digits] of a number that is no share; those before the point stay in any case
 */
function valueText(value, share, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (share) return percent(value);
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(2);
  return Math.abs(value) < 10 ** digits ? value.toPrecision(digits) : String(Math.round(value));
}

/**
 * Moves the names at the ends of the lines to at least 14 pixels apart, inside the plot, in order of height.
 * @param {{y: number}[]} places
 */
function spread(places) {
  const order = [...places].sort((a, b) => a.y - b.y);
  order.forEach((place, at) => {
    if (at) place.y = Math.max(place.y, order[at - 1].y + 14);
  });
  let floor = HEIGHT - MARGIN.bottom + 4;
  for (const place of order.reverse()) {
    place.y = Math.min(place.y, floor);
    floor = place.y - 14;
  }
}

/**
 * From the lowest value to that which four of five do not exceed, where the others would press all curves together: they
 * run out of the top, as the losses of the first epochs do, or of a run that came to nothing.
 * @param {number[]} values
 * @returns {[number, number]}
 */
function mostOf(values) {
  const inOrder = [...values].sort((a, b) => a - b);
  const [low, most, high] = [0, 0.8, 1].map((share) => inOrder[Math.ceil(share * (inOrder.length - 1))]);
  return [low, high - low > 1.5 * (most - low) ? most : high];
}

/**
 * The levels of a chart's grid: 0 is one of them, unless a fitted chart has values that differ by little and are far
 * from it.
 * @param {ChartSpec} spec
 */
function levelsOf(spec) {
  if (spec.whole) return [0, 0.25, 0.5, 0.75, 1];
  const values = spec.lines.flatMap((line) => line.values.filter(isPresent));
  if (spec.apart) return ticks(...mostOf(values));
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const far = high > low && high - low < Math.max(low, -high) / 4;
  return spec.fitted && far ? ticks(low, high) : ticks(Math.min(0, low), high);
}

/**
 * @param {ChartSpec} spec
 * @param {number[]} epochs
 * @param {number} width
 * @returns {Scale}
 */
function scales(spec, epochs, width) {
  const values = levelsOf(spec);
  const levels = values.map((value) => ({ value, text: levelText(value, spec.share, values[1] - values[0]) }));
  const left = Math.max(MARGIN.left, 14 + 6.7 * Math.max(...levels.map(({ text }) => text.length)));
  const [low, high] = [values[0], values[values.length - 1]];
  const [first, last] = [epochs[0], epochs[epochs.length - 1]];
  const [across, down] = [width - left - MARGIN.right, HEIGHT - MARGIN.top - MARGIN.bottom];
  return {
    width,
    left,
    levels,
    x: (epoch) => left + (last === first ? 0.5 : (epoch - first) / (last - first)) * across,
    y: (value) => MARGIN.top + ((high - value) / (high - low)) * down,
  };
}

/**
 * @param {number} level
 * @param {boolean | undefined} share
 * @param {number} step from one level to the next
 */
function levelText(level, share, step) {
  if (share) return `${+(100 * level).toPrecision(3)} %`;
  const steps = Math.abs(level) / step;
  if (steps >= 100) return String(+level.toPrecision(Math.ceil(Math.log10(steps)) + 1)); // far from 0: differs late
  const plain = String(+level.toPrecision(6));
  return plain.length > 5 ? (+level.toPrecision(3)).toExponential() : plain;
}

/**
 * @param {SVGElement} canvas
 * @param {ChartSpec} spec
 * @param {number[]} epochs
 * @param {Scale} scale
 */
function drawAxes(canvas, spec, epochs, { width, left, levels, x, y }) {
  const across = { x1: left, x2: width - MARGIN.right };
  for (const { value, text } of levels) {
    svg("line", { class: "grid", ...across, y1: y(value), y2: y(value) }, canvas);
    svg("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, canvas, text);
  }
  if (spec.rule !== undefined) svg("line", { class: "rule", ...across, y1: y(spec.rule), y2: y(spec.rule) }, canvas);
  const every = Math.ceil(epochs.length / Math.max(2, Math.floor((width - 130) / 44)));
  epochs.forEach((epoch, at) => {
    if (at % every === 0) svg("text", { x: x(epoch), y: HEIGHT - 6, "text-anchor": "middle" }, canvas, String(epoch));
  });
  svg("text", { x: width - MARGIN.right + 14, y: HEIGHT - 6 }, canvas, "epoch");
}

/**
 * @param {SVGElement} canvas
 * @param {ChartSpec} spec
 * @param {number[]} epochs
 * @param {Scale} scale
 */
function drawLines(canvas, spec, epochs, { width, x, y }) {
  const ends = [];
  for (const line of spec.lines) {
    const { color, dash, marker } = style(line.number, line.layers);
    const points = epochs.flatMap((epoch, at) => {
      const value = line.values[at];
      return isPresent(value) ? [{ left: x(epoch).toFixed(1), top: y(value).toFixed(1) }] : [];
    });
    const path = points.map(({ left, top }) => `${left} ${top}`).join("L");
    svg("path", { class: "line", d: `M${path}`, stroke: color, "stroke-dasharray": dash }, canvas);
    const every = Math.ceil(points.length / 16);
    points.forEach(({ left, top }, at) => {
      if (at % every === 0 || at === points.length - 1)
        svg("path", { d: marker, fill: color, transform: `translate(${left} ${top})` }, canvas);
    });
    const end = { name: line.short ?? line.name, y: Number(points[points.length - 1].top) + 4 };
    if (spec.lines.length > 1 || !spec.lone) ends.push(end);
  }
  spread(ends);
  for (const { name, y: height } of ends) {
    const text = name.length > 11 ? `${name.slice(0, 10)}…` : name;
    svg("text", { x: width - MARGIN.right + 10, y: height }, canvas, text);
  }
}

/**
 * What the curves say, for those who do not see them.
 * @param {ChartSpec} spec
 * @param {number[]} epochs
 */
function spoken(spec, epochs) {
  const lines = spec.lines.map((line) => {
    const values = line.values.filter(isPresent);
    const [first, last] = [values[0], values[values.length - 1]].map((value) =>
      valueText(value, spec.share, spec.digits),
    );
    return `${line.name} from ${first} to ${last}`;
  });
  return `${spec.title}, epochs ${epochs[0]} to ${epochs[epochs.length - 1]}: ${lines.join("; ")}`;
}

/**
 * A short piece of a line with its marker, as a key.
 * @param {number} number
 * @param {Element} parent
 * @param {number} [layers]
 */
function sample(number, parent, layers) {
  const { color, dash, marker } = style(number, layers);
  const canvas = svg("svg", { class: "sample", viewBox: "0 0 30 10", "aria-hidden": "true" }, parent);
  svg("path", { class: "line", d: "M0 5H30", stroke: color, "stroke-dasharray": dash }, canvas);
  svg("path", { d: marker, fill: color, transform: "translate(15 5)" }, canvas);
}

/**
 * Empties the canvas and draws its axes as wide as it is.
 * @param {SVGSVGElement} canvas
 * @param {ChartSpec} spec
 * @param {number[]} epochs
 * @returns {Scale}
 */
function redrawAxes(canvas, spec, epochs) {
  const width = Math.max(260, canvas.clientWidth);
  const scale = scales(spec, epochs, width);
  canvas.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  canvas.replaceChildren();
  drawAxes(canvas, spec, epochs, scale);
  return scale;
}

/**
 * The place of the value nearest to a target.
 * @param {number[]} values
 * @param {number} target
 */
function nearestPlace(values, target) {
  const away = (/** @type {number} */ at) => Math.abs(values[at] - target);
  return values.reduce((best, _, at) => (away(at) < away(best) ? at : best), 0);
}
