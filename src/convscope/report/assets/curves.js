"use strict";
// Curves as inline SVG from the columns of metrics.csv. Each line differs by color, dash and marker.
// number: chooses the style. share: values are percentages; whole: from 0 to 100 %; rule: a level to mark. lone: a line
// alone needs no name at its end.
// chart(holder, {title, lines: [{name, number, values}], share, whole, rule}, epochs, choose) -> show(epoch)

const DASHES = ["", "7 4", "2 3", "9 3 2 3", "12 4", "4 4"];
const MARKERS = [
  "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0", "M-3-3H3V3H-3Z", "M0-4L4 3H-4Z", "M0-4.5L4.5 0L0 4.5L-4.5 0Z",
  "M-4-3H4L0 4Z", "M-1-4H1V-1H4V1H1V4H-1V1H-4V-1H-1Z",
];
const MARGIN = { left: 46, right: 86, top: 10, bottom: 24 };
const HEIGHT = 230;

function svg(tag, attributes, parent, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

function html(tag, attributes, parent, text) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

// Six lines differ in all three; the next six take the same colors with the next dash and marker, and so on for 36.
function style(number) {
  const turn = (number + Math.floor(number / 6)) % 6;
  return { color: `var(--line-${number % 6})`, dash: DASHES[turn], marker: MARKERS[turn] };
}
const measured = (values) => values.filter((value) => value !== null);

// Ticks 1, 2 or 5 times a power of ten apart, about four of them, around low..high.
function ticks(low, high) {
  const span = high - low || Math.abs(high) || 1;
  const power = 10 ** Math.floor(Math.log10(span / 4));
  const step = [1, 2, 5, 10].map((times) => times * power).find((size) => span / size <= 5);
  const first = Math.floor(low / step + 1e-9), last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, at) => (first + at) * step);
}

// One decimal as Python rounds it, to the even digit where both are as near: 31.25 is 31.2, as beside the curves.
function percent(share) {
  const value = 100 * share;
  return `${(Math.abs(value % 1) === 0.25 ? value - 0.05 * Math.sign(value) : value).toFixed(1)} %`;
}

function valueText(value, share) {
  if (value === null || value === undefined) return "–";
  if (share) return percent(value);
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(2);
  return Math.abs(value) < 1000 ? value.toPrecision(3) : String(Math.round(value));
}

// Places for the names at the ends of the lines: in order of height, at least 14 pixels apart, inside the plot.
function spread(places) {
  const order = [...places].sort((a, b) => a.y - b.y);
  order.forEach((place, at) => { if (at) place.y = Math.max(place.y, order[at - 1].y + 14); });
  let floor = HEIGHT - MARGIN.bottom + 4;
  for (const place of order.reverse()) { place.y = Math.min(place.y, floor); floor = place.y - 14; }
}

function scales(spec, epochs, width) {
  const all = spec.lines.flatMap((line) => measured(line.values));
  const levels = spec.whole ? [0, 0.25, 0.5, 0.75, 1] : ticks(Math.min(0, ...all), Math.max(...all));
  const low = levels[0], high = levels[levels.length - 1], first = epochs[0], last = epochs[epochs.length - 1];
  return {
    width,
    levels,
    x: (epoch) => MARGIN.left + (last === first ? 0.5 : (epoch - first) / (last - first)) * (width - MARGIN.left - MARGIN.right),
    y: (value) => MARGIN.top + ((high - value) / (high - low)) * (HEIGHT - MARGIN.top - MARGIN.bottom),
  };
}

function drawAxes(canvas, spec, epochs, { width, levels, x, y }) {
  for (const level of levels) {
    svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(level), y2: y(level) }, canvas);
    const plain = String(+level.toPrecision(6)), short = plain.length > 5 ? (+level.toPrecision(3)).toExponential() : plain;
    const text = spec.share ? `${+(100 * level).toPrecision(3)} %` : short;
    svg("text", { x: MARGIN.left - 8, y: y(level) + 4, "text-anchor": "end" }, canvas, text);
  }
  if (spec.rule !== undefined)
    svg("line", { class: "rule", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(spec.rule), y2: y(spec.rule) }, canvas);
  const every = Math.ceil(epochs.length / Math.max(2, Math.floor((width - 130) / 44)));
  epochs.forEach((epoch, at) => {
    if (at % every === 0) svg("text", { x: x(epoch), y: HEIGHT - 6, "text-anchor": "middle" }, canvas, String(epoch));
  });
  svg("text", { x: width - MARGIN.right + 14, y: HEIGHT - 6 }, canvas, "epoch");
}

function drawLines(canvas, spec, epochs, { width, x, y }) {
  const ends = [];
  spec.lines.forEach((line) => {
    const { color, dash, marker } = style(line.number);
    const points = epochs.map((epoch, at) => [epoch, line.values[at]]).filter(([, value]) => value !== null);
    const path = points.map(([epoch, value]) => `${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
    svg("path", { class: "line", d: `M${path}`, stroke: color, "stroke-dasharray": dash }, canvas);
    const every = Math.ceil(points.length / 16);
    points.filter((_, at) => at % every === 0 || at === points.length - 1).forEach(([epoch, value]) =>
      svg("path", { d: marker, fill: color, transform: `translate(${x(epoch).toFixed(1)} ${y(value).toFixed(1)})` }, canvas));
    if (spec.lines.length > 1 || !spec.lone) ends.push({ name: line.name, y: y(points[points.length - 1][1]) + 4 });
  });
  spread(ends);
  for (const { name, y: height } of ends) {
    const shown = name.length > 11 ? `${name.slice(0, 10)}…` : name;
    svg("text", { x: width - MARGIN.right + 10, y: height }, canvas, shown);
  }
}

// What the curves say, for those who do not see them.
function spoken(spec, epochs) {
  const lines = spec.lines.map((line) => {
    const values = measured(line.values);
    return `${line.name} from ${valueText(values[0], spec.share)} to ${valueText(values[values.length - 1], spec.share)}`;
  });
  return `${spec.title}, epochs ${epochs[0]} to ${epochs[epochs.length - 1]}: ${lines.join("; ")}`;
}

function readOut(holder, spec, epochs, at) {
  holder.replaceChildren();
  html("span", {}, holder, `epoch ${epochs[at]}`);
  spec.lines.forEach((line) => {
    const { color, dash, marker } = style(line.number);
    const item = html("span", {}, holder);
    const sample = svg("svg", { viewBox: "0 0 30 10", "aria-hidden": "true" }, item);
    svg("path", { class: "line", d: "M0 5H30", stroke: color, "stroke-dasharray": dash }, sample);
    svg("path", { d: marker, fill: color, transform: "translate(15 5)" }, sample);
    item.append(`${line.name} `);
    html("b", {}, item, valueText(line.values[at], spec.share));
  });
}

// Empties the canvas and draws its axes as wide as it is now; the scale of what is to be drawn on it.
function redrawn(canvas, spec, epochs) {
  const width = Math.max(260, canvas.clientWidth), scale = scales(spec, epochs, width);
  canvas.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  canvas.replaceChildren();
  drawAxes(canvas, spec, epochs, scale);
  return scale;
}

function chart(holder, spec, epochs, choose) {
  const box = html("div", { class: "chart" }, holder);
  html("h3", {}, box, spec.title);
  const readout = html("div", { class: "readout" }, box);
  const canvas = svg("svg", { role: "img", "aria-label": spoken(spec, epochs) }, box);
  let scale, now, shown = epochs.length - 1, pointed = null;

  const nearest = (epoch) => epochs.reduce((best, each, at) => (Math.abs(each - epoch) < Math.abs(epochs[best] - epoch) ? at : best), 0);
  const mark = (at) => {
    for (const end of ["x1", "x2"]) now.setAttribute(end, scale.x(epochs[at]));
    readOut(readout, spec, epochs, at);
  };
  const draw = () => {
    scale = redrawn(canvas, spec, epochs);
    now = svg("line", { class: "now", y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }, canvas);
    drawLines(canvas, spec, epochs, scale);
    mark(pointed ?? shown);
  };
  const under = (event) => {
    const left = event.clientX - canvas.getBoundingClientRect().left;
    return epochs.reduce((best, each, at) => (Math.abs(scale.x(each) - left) < Math.abs(scale.x(epochs[best]) - left) ? at : best), 0);
  };
  canvas.addEventListener("pointermove", (event) => { pointed = under(event); mark(pointed); });
  canvas.addEventListener("pointerleave", () => { pointed = null; mark(shown); });
  canvas.addEventListener("click", (event) => choose(epochs[under(event)]));
  draw();
  new ResizeObserver(draw).observe(canvas);
  return (epoch) => { shown = nearest(epoch); pointed = null; mark(shown); };
}
