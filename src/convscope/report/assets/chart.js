"use strict";
// A chart of one run, which reads out an epoch: that of the page, or the one that the pointer is nearest to.

/**
 * Draws a chart and returns what moves it to an epoch. choose: called with the epoch that was clicked.
 * @param {Element} holder
 * @param {ChartSpec} spec
 * @param {number[]} epochs
 * @param {(epoch: number) => void} choose
 * @returns {(epoch: number) => void}
 */
function chart(holder, spec, epochs, choose) {
  const box = html("div", { class: "chart" }, holder);
  html("h3", {}, box, spec.title);
  const readout = html("div", { class: "readout" }, box);
  const canvas = svg("svg", { role: "img", "aria-label": spoken(spec, epochs) }, box);
  /** @type {number | null} */
  let pointed = null;
  let current = epochs.length - 1;
  let { scale, cursor } = drawChart(canvas, spec, epochs);

  const mark = () => {
    const at = pointed ?? current;
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, String(scale.x(epochs[at])));
    readOut(readout, spec, epochs, at);
  };
  const draw = () => {
    ({ scale, cursor } = drawChart(canvas, spec, epochs));
    mark();
  };
  const under = (/** @type {MouseEvent} */ event) =>
    nearestPlace(epochs.map(scale.x), event.clientX - canvas.getBoundingClientRect().left);
  canvas.addEventListener("pointermove", (event) => {
    pointed = under(event);
    mark();
  });
  canvas.addEventListener("pointerleave", () => {
    pointed = null;
    mark();
  });
  canvas.addEventListener("click", (event) => choose(epochs[under(event)]));
  mark();
  new ResizeObserver(draw).observe(canvas);
  return (epoch) => {
    current = nearestPlace(epochs, epoch);
    pointed = null;
    mark();
  };
}

/**
 * @param {SVGSVGElement} canvas
 * @param {ChartSpec} spec
 * @param {number[]} epochs
 */
function drawChart(canvas, spec, epochs) {
  const scale = redrawAxes(canvas, spec, epochs);
  const cursor = svg("line", { class: "now", y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }, canvas);
  drawLines(canvas, spec, epochs, scale);
  return { scale, cursor };
}

/**
 * Writes the values of one epoch.
 * @param {Element} holder
 * @param {ChartSpec} spec
 * @param {number[]} epochs
 * @param {number} at place of the epoch
 */
function readOut(holder, spec, epochs, at) {
  holder.replaceChildren();
  html("span", {}, holder, `epoch ${epochs[at]}`);
  for (const line of spec.lines) {
    const item = html("span", {}, holder);
    sample(line.number, item, line.layers);
    item.append(`${line.name} `);
    html("b", {}, item, valueText(line.values[at], spec.share, spec.digits));
  }
}
