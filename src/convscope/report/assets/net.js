"use strict";
// The squares of pixels that the middle unit of each row sees, over the first thumbnail of the atlas or an empty frame.
// At first those of the convolutions, of a deep net some of them; of one row while it is pointed at, focused or pressed. Uses svg, html and style of curves.js.

function setUpNet() {
  const holder = document.querySelector("#net .overview");
  if (!holder) return;
  const atlas = (window.DATA || {}).atlas, input = (atlas && atlas.input) || Number(holder.dataset.input);
  const figure = document.querySelector("#net .sees"), caption = figure.querySelector("figcaption");
  const boxes = [...holder.querySelectorAll("button.rowbox")];
  const rows = boxes.map((box) => seenSquare(box.dataset, input));
  if (!input || !rows.some(Boolean)) return;
  figure.hidden = false;
  const convolutions = rows.filter((row) => row && row.kind === "conv" && !row.whole), shownAtFirst = seenFirst(convolutions, input);
  shownAtFirst.forEach((row, number) => { row.number = number; });
  const canvas = svg("svg", { role: "img" }, figure.querySelector(".seen"));
  const view = seenExtent(shownAtFirst, input), marks = drawSeen(canvas, shownAtFirst, input, view);
  let pressed = null;

  const show = (at) => {
    const row = at === null ? null : rows[at];
    for (const mark of marks) for (const part of mark.parts) part.classList.toggle("faint", row !== null && mark.row !== row);
    canvas.querySelectorAll(".lone").forEach((each) => each.remove());
    if (row && !marks.some((mark) => mark.row === row)) drawSeenSquare(svg("g", { class: "lone" }, canvas.querySelector(".squares")), row, "var(--accent)", "");
    boxes.forEach((box, place) => box.setAttribute("aria-checked", String(place === pressed)));
    for (const each of document.querySelectorAll("table.net tr[data-row]")) each.classList.toggle("shown", row !== null && Number(each.dataset.row) === at);
    caption.textContent = row ? seenInWords(row, input) : `What one unit in the middle of ${shownAtFirst.length < convolutions.length ? "some convolutions" : "each convolution"} sees. Point at a row for its own.`;
    canvas.setAttribute("aria-label", row ? seenInWords(row, input) : `Nested squares over an image: ${shownAtFirst.map((each) => `${each.name} ${each.field} pixels`).join(", ")}`);
  };
  const follow = (element, at) => {
    if (!rows[at]) return;
    element.addEventListener("pointerenter", (event) => { if (event.pointerType !== "touch") show(at); });
    element.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") show(pressed); });
  };
  boxes.forEach((box, at) => {
    follow(box, at);
    box.disabled = !rows[at];
    box.addEventListener("focus", () => { if (box.matches(":focus-visible")) show(at); });
    box.addEventListener("blur", () => show(pressed));
    box.addEventListener("click", () => { pressed = pressed === at ? null : at; show(pressed); });
  });
  for (const row of document.querySelectorAll("table.net tr[data-row]")) follow(row, Number(row.dataset.row));
  show(null);
  const sheet = atlas && atlas.sheets && atlas.sheets[0];
  if (sheet) new IntersectionObserver((seen, watcher) => {
    if (!seen.some((one) => one.isIntersecting)) return;
    watcher.disconnect();
    drawSeenImage(canvas, sheet, input);
  }, { rootMargin: "300px" }).observe(figure);
}

// Where the middle unit of a row begins to see, and how far; null for a row that does not say.
function seenSquare(said, input) {
  const whole = said.whole === "1", field = whole ? input : Number(said.field);
  if (!field) return null;
  const middle = Math.floor((Number(said.side) - 1) / 2);
  const start = whole ? 0 : said.start !== "" ? Number(said.start) + Number(said.stride) * middle : (input - field) / 2; // an older run
  return { name: said.name, kind: said.kind, field, start, whole };
}

// All of up to eight; of more the eight, each with another field, spread from the first to the first that sees the whole image.
function seenFirst(rows, input) {
  if (rows.length <= MOST_SQUARES) return rows;
  const distinct = rows.filter((row, at) => rows.findIndex((other) => other.field === row.field) === at);
  const covers = distinct.findIndex((row) => row.field >= input), seen = covers < 0 ? distinct : distinct.slice(0, covers + 1);
  const count = Math.min(MOST_SQUARES, seen.length);
  return Array.from({ length: count }, (_, k) => seen[Math.round((k * (seen.length - 1)) / Math.max(1, count - 1))]);
}
const MOST_SQUARES = 8;

const seenInWords = (row, input) => (row.whole ? `${row.name}: every unit sees the whole image.`
  : `${row.name}: a unit sees ${row.field} × ${row.field} of the ${input} × ${input} pixels${row.field > input ? ", more than the image has" : `, ${Math.round((100 * row.field) / input)} % of its side`}.`);

// The end of a long module path tells more than its beginning.
const seenName = ({ name }) => (name.length > 20 ? `…${name.slice(-19)}` : name);

// What is in view: the image and the squares, but of those at most the image's side beyond its border.
function seenExtent(rows, input) {
  const low = Math.max(-input, Math.min(0, ...rows.map((row) => row.start)));
  const high = Math.min(2 * input, Math.max(input, ...rows.map((row) => row.start + row.field)));
  return { low, high, side: high - low };
}

function drawSeenSquare(group, row, color, dash) {
  const box = { x: row.start, y: row.start, width: row.field, height: row.field };
  svg("rect", { class: "under", ...box }, group);
  svg("rect", { class: "square", ...box, stroke: color, "stroke-dasharray": dash }, group);
}

// Frame, squares and, in the margin at the right, their names at least a line apart.
function drawSeen(canvas, rows, input, { low, high, side }) {
  const size = Math.min(side / 24, side / (1.2 * rows.length)), pad = side * 0.02;
  const letters = Math.max(0, ...rows.map((row) => seenName(row).length)), beside = Math.max(side * 0.26, side * 0.05 + size * 0.66 * letters);
  canvas.setAttribute("viewBox", `${low - pad} ${low - pad} ${side + beside + 2 * pad} ${side + 2 * pad}`);
  svg("rect", { class: "blank", x: 0, y: 0, width: input, height: input }, canvas);
  for (let at = 1; at < 8; at += 1) for (const line of [{ x1: 0, x2: input, y1: (input * at) / 8, y2: (input * at) / 8 }, { y1: 0, y2: input, x1: (input * at) / 8, x2: (input * at) / 8 }]) svg("line", { class: "mesh", ...line }, canvas);
  svg("g", { class: "picture" }, canvas);
  svg("rect", { class: "frame", x: 0, y: 0, width: input, height: input }, canvas);
  const whole = { x: low - pad, y: low - pad, width: side + 2 * pad, height: side + 2 * pad };
  const squares = svg("svg", { class: "squares", ...whole, viewBox: Object.values(whole).join(" ") }, canvas); // cuts off what is beyond
  const top = (row) => Math.max(low, row.start);
  const order = [...rows].sort((one, other) => top(one) - top(other));
  const heights = new Map();
  let height = low + size * 0.4;
  for (const row of order) { heights.set(row, Math.max(height, top(row))); height = heights.get(row) + size * 1.15; }
  height = high - size * 0.4;
  for (const row of order.reverse()) { heights.set(row, Math.min(height, heights.get(row))); height = heights.get(row) - size * 1.15; }
  return rows.map((row) => {
    const group = svg("g", {}, squares), named = svg("g", {}, canvas), { color, dash } = style(row.number), right = Math.min(high, row.start + row.field);
    drawSeenSquare(group, row, color, dash);
    const at = heights.get(row), from = side * 0.03 + high;
    svg("polyline", { class: "leader", stroke: color, points: `${right},${top(row)} ${from - size * 0.5},${at} ${from},${at}` }, named);
    svg("text", { x: from + size * 0.3, y: at + size * 0.35, "font-size": size }, named, seenName(row));
    return { row, parts: [group, named] };
  });
}

// The first picture of a packed sheet, cut out by a view of its own.
async function drawSeenImage(canvas, sheet, input) {
  const image = new Image();
  image.src = sheet.source;
  try { await image.decode(); } catch { return; } // gone: the empty frame stays
  const place = svg("svg", { x: 0, y: 0, width: input, height: input, viewBox: `0 0 ${sheet.tile} ${sheet.tile}` }, canvas.querySelector(".picture"));
  svg("image", { href: sheet.source, width: image.naturalWidth, height: image.naturalHeight }, place);
}

setUpNet();
