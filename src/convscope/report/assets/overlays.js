"use strict";
// Curves of several runs over each other. The line nearest to the pointer, or to the arrow keys' place, says its run and value.
// overlay(holder, {title, share, whole, rule, lines: [{name, short, number, values}]}, epochs)

function sample(number, parent) {
  const { color, dash, marker } = style(number);
  const canvas = svg("svg", { class: "sample", viewBox: "0 0 30 10", "aria-hidden": "true" }, parent);
  svg("path", { class: "line", d: "M0 5H30", stroke: color, "stroke-dasharray": dash }, canvas);
  svg("path", { d: marker, fill: color, transform: "translate(15 5)" }, canvas);
}

// The line and epoch whose point is nearest to a place on the canvas.
function nearestPoint(spec, epochs, { x, y }, left, top) {
  let best = null;
  spec.lines.forEach((line, row) => line.values.forEach((value, at) => {
    if (value === null) return;
    const away = (x(epochs[at]) - left) ** 2 + (y(value) - top) ** 2;
    if (!best || away < best.away) best = { away, row, at };
  }));
  return best;
}

function overlay(holder, spec, epochs) {
  const box = html("div", { class: "chart overlay" }, holder);
  html("h3", {}, box, spec.title);
  const readout = html("div", { class: "readout", role: "status" }, box);
  const canvas = svg("svg", { role: "img", tabindex: "0", "aria-label": spoken(spec, epochs) }, box);
  let scale, dot, place = null;

  const point = (found) => {
    place = found;
    readout.replaceChildren();
    canvas.querySelectorAll("path.line").forEach((path, row) => path.classList.toggle("near", found !== null && row === found.row));
    canvas.classList.toggle("pointed", found !== null);
    dot.style.display = found ? "" : "none";
    if (!found) return html("span", {}, readout, "point at a line to read it");
    const line = spec.lines[found.row], value = line.values[found.at];
    dot.setAttribute("cx", scale.x(epochs[found.at]));
    dot.setAttribute("cy", scale.y(value));
    const item = html("span", {}, readout);
    sample(line.number, item);
    item.append(`${line.name} `);
    html("b", {}, item, valueText(value, spec.share));
    return html("span", {}, readout, `epoch ${epochs[found.at]}`);
  };
  const draw = () => {
    scale = redrawn(canvas, spec, epochs);
    drawLines(canvas, { ...spec, lines: spec.lines.map((line) => ({ ...line, name: spec.lines.length > 12 ? "" : line.short })) }, epochs, scale);
    dot = svg("circle", { class: "dot", r: 6 }, canvas);
    point(null);
  };
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  canvas.addEventListener("keydown", (event) => {
    if (!step[event.key]) return;
    event.preventDefault();
    const [down, along] = step[event.key], from = place || { row: 0, at: epochs.length - 1 - along };
    const row = (from.row + down + spec.lines.length) % spec.lines.length;
    const places = epochs.map((_, at) => at).filter((at) => spec.lines[row].values[at] !== null);
    const wanted = from.at + along;
    point({ row, at: places.reduce((best, at) => (Math.abs(at - wanted) < Math.abs(best - wanted) ? at : best)) });
  });
  canvas.addEventListener("pointermove", (event) => {
    const around = canvas.getBoundingClientRect();
    point(nearestPoint(spec, epochs, scale, event.clientX - around.left, event.clientY - around.top));
  });
  canvas.addEventListener("pointerleave", () => point(null));
  draw();
  let drawn = canvas.clientWidth;
  new ResizeObserver(() => { if (canvas.clientWidth !== drawn) { drawn = canvas.clientWidth; draw(); } }).observe(canvas);
}
