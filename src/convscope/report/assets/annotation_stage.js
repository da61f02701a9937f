"use strict";
// The photograph on the screen: its size, the marks on it, and pointers and keys that set, move and remove them.

const COLORS = ["#ff5252", "#3fc1ff", "#ffd23f", "#5ee07a", "#ff7de0", "#ff9a3d", "#b79bff", "#4de8d4", "#d6f05a"];
const CLICK = 6; // pixels of the screen within which a pointer has not moved
const CORNERS = ["00", "10", "01", "11"]; // right?, lower?
const CORNER_WORDS = ["top left", "top right", "bottom left", "bottom right"];

const stage = {
  zoom: 1,
  scale: 1, // pixels of the screen for one of the photograph
  isReady: false,
  /** The place of the keyboard's crosshair. @type {{ x: number, y: number } | null} */
  cross: null,
  /** The first corner of a box that the keyboard draws. @type {{ x: number, y: number } | null} */
  corner: null,
  /** What to call when marks have changed. isNew: by a new mark. */
  changed: (/** @type {string} */ _words, /** @type {boolean} */ _isNew = false) => {},
};

/** @typedef {{ kind: "point" | "box" | "mark", x: number, y: number, moved: boolean, number: number, corner: string, draft: PlacedMark | null }} Gesture */
/** @type {Gesture | null} */
let gesture = null;

const tenth = (/** @type {number} */ value) => Math.round(value * 10) / 10;
const within = (/** @type {number} */ value, /** @type {number} */ most) => tenth(Math.max(0, Math.min(most, value)));
const colorOf = (/** @type {PlacedMark} */ mark) =>
  COLORS[
    Math.max(
      0,
      work.marking.parts.findIndex((part) => isOf(part, mark)),
    ) % COLORS.length
  ];
const size = () => ({ width: photograph().width ?? 1, height: photograph().height ?? 1 });

/** Gives the photograph its size on the screen; the point under x, y of the screen stays where it is. */
function layOut(zoom = stage.zoom, x = -1, y = -1) {
  const holder = byId("stage");
  const photo = byId("photo");
  const before = photo.getBoundingClientRect();
  const { width, height } = size();
  stage.zoom = Math.max(1, Math.min(40, zoom));
  const fit = Math.min((holder.offsetWidth - 2) / width, (holder.offsetHeight - 2) / height);
  stage.scale = fit * stage.zoom;
  photo.style.width = `${Math.floor(width * stage.scale)}px`;
  photo.style.height = `${Math.floor(height * stage.scale)}px`;
  photo.style.setProperty("--ratio", String(width / height)); // on paper
  photo.classList.toggle("pixels", stage.scale > 4);
  byId("zoom").textContent = `${Math.round(stage.zoom * 100)} %`;
  if (!before.width) return;
  const after = photo.getBoundingClientRect();
  const middle = holder.getBoundingClientRect();
  const left = x < 0 ? middle.left + middle.width / 2 : x;
  const top = y < 0 ? middle.top + middle.height / 2 : y;
  holder.scrollLeft += after.left + ((left - before.left) / before.width) * after.width - left;
  holder.scrollTop += after.top + ((top - before.top) / before.height) * after.height - top;
}

/** The place of a pointer in pixels of the photograph. @param {{ clientX: number, clientY: number }} event */
function placeOf(event) {
  const box = byId("photo").getBoundingClientRect();
  const { width, height } = size();
  const x = ((event.clientX - box.left) / box.width) * width;
  return { x: within(x, width), y: within(((event.clientY - box.top) / box.height) * height, height) };
}

const percentOf = (/** @type {number} */ value, /** @type {number} */ side) => `${(100 * value) / side}%`;
const numbers = (/** @type {number[]} */ ...values) => values.map((value) => String(tenth(value))).join(", ");

/** @param {PlacedMark} mark */
function markInWords(mark) {
  const ends = isBox(mark) ? ` to ${numbers(mark.x1 ?? 0, mark.y1 ?? 0)}` : "";
  return `${mark.part} ${isBox(mark) ? "from" : "at"} ${numbers(mark.x, mark.y)}${ends}`;
}

/** Draws the marks of the photograph, in place of those that were drawn; the focus stays on its mark. */
function drawMarks() {
  const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset : {};
  const holder = byId("marks");
  holder.replaceChildren();
  if (!stage.isReady) return;
  const { width, height } = size();
  marksOf().forEach((saved, number) => {
    const isDragged = gesture?.kind === "mark" && gesture.number === number;
    const mark = (isDragged && gesture?.draft) || saved;
    const button = (/** @type {string} */ kind, /** @type {string} */ corner, /** @type {string} */ label) => {
      const x = corner[0] === "1" ? (mark.x1 ?? 0) : mark.x;
      const y = corner[1] === "1" ? (mark.y1 ?? 0) : mark.y;
      const style = `left:${percentOf(x, width)};top:${percentOf(y, height)};--color:${colorOf(mark)}`;
      const attributes = { type: "button", class: `mark ${kind}`, style, "aria-label": label };
      const element = html("button", { ...attributes, "data-mark": number, "data-corner": corner }, holder);
      if (focused.mark === String(number) && focused.corner === corner) element.focus({ preventScroll: true });
      return element;
    };
    if (isBox(mark)) drawBox(mark);
    const label = button(isBox(mark) ? "title" : "point", "", markInWords(mark));
    html("span", {}, label, mark.part);
    if (isBox(mark))
      CORNERS.forEach((corner, order) => button("corner", corner, `${CORNER_WORDS[order]} corner of ${mark.part}`));
  });
  if (gesture?.kind === "box" && gesture.draft) drawBox(gesture.draft);
  if (stage.corner && stage.cross) drawBox(boxBetween(stage.corner, stage.cross));
  drawCross();
}

/** @param {PlacedMark} mark */
function drawBox(mark) {
  const { width, height } = size();
  const sides = { left: percentOf(mark.x, width), top: percentOf(mark.y, height) };
  const element = html("div", { class: "box" }, byId("marks"));
  const extent = {
    width: percentOf((mark.x1 ?? 0) - mark.x, width),
    height: percentOf((mark.y1 ?? 0) - mark.y, height),
  };
  Object.assign(element.style, sides, extent);
  element.style.setProperty("--color", colorOf(mark));
}

function drawCross() {
  const { width, height } = size();
  const lines = byId("cross");
  lines.hidden = !stage.cross;
  if (!stage.cross) return;
  lines.style.setProperty("--x", percentOf(stage.cross.x, width));
  lines.style.setProperty("--y", percentOf(stage.cross.y, height));
}

/** @param {{ x: number, y: number }} one @param {{ x: number, y: number }} two @returns {PlacedMark} */
function boxBetween(one, two) {
  const part = work.marking.parts[work.part]?.name ?? "";
  const corner = { x: Math.min(one.x, two.x), y: Math.min(one.y, two.y) };
  return { part, ...corner, x1: Math.max(one.x, two.x), y1: Math.max(one.y, two.y) };
}

/** A mark moved, or a corner of its box. @param {PlacedMark} mark @param {string} corner @param {number} dx @param {number} dy @returns {PlacedMark} */
function movedMark(mark, corner, dx, dy) {
  const { width, height } = size();
  if (!isBox(mark)) return { ...mark, x: within(mark.x + dx, width), y: within(mark.y + dy, height) };
  const { x1 = 0, y1 = 0 } = mark;
  if (corner) {
    const opposite = { x: corner[0] === "1" ? mark.x : x1, y: corner[1] === "1" ? mark.y : y1 };
    const moved = { x: mark.x + x1 - opposite.x + dx, y: mark.y + y1 - opposite.y + dy };
    const box = boxBetween(opposite, { x: within(moved.x, width), y: within(moved.y, height) });
    const isFlat = (box.x1 ?? 0) - box.x < 1 || (box.y1 ?? 0) - box.y < 1;
    return isFlat ? mark : { ...mark, ...box, part: mark.part };
  }
  const x = within(mark.x + dx, width - x1 + mark.x);
  const y = within(mark.y + dy, height - y1 + mark.y);
  return { ...mark, x, y, x1: tenth(x1 + x - mark.x), y1: tenth(y1 + y - mark.y) };
}

/** Marks the chosen part: a point where one is to be clicked. @param {PlacedMark} mark */
function markPart(mark) {
  const isFlat = isBox(mark) && ((mark.x1 ?? 0) - mark.x < 1 || (mark.y1 ?? 0) - mark.y < 1);
  if (isFlat) return stage.changed(`${mark.part} is a box: drag from one corner to the opposite one.`);
  addMark(mark);
  stage.changed(`${markInWords(mark)}. ${chooseMissing(work.part + 1)}`, true);
}

/** Chooses the first part that is missing, at this number or after it if possible; returns what is next, in words. */
function chooseMissing(number = 0) {
  const missing = missingParts();
  if (!work.marking.parts.length) return "Name a part first.";
  if (!missing.length) return "All parts are marked: → shows the next photograph.";
  const { parts } = work.marking;
  const next = missing.find((part) => parts.indexOf(part) >= number) ?? missing[0];
  work.part = parts.indexOf(next);
  return `Next: ${next.name}, ${next.box ? "drag a box around it" : "click on it"}.`;
}

/** @param {number} number @param {PlacedMark | null} mark in place of the mark of this number; null removes it */
function replaceMark(number, mark) {
  const old = marksOf()[number];
  setMarks(marksOf().flatMap((other, place) => (place !== number ? [other] : mark ? [mark] : [])));
  stage.changed(mark ? `${markInWords(mark)}.` : `${old.part} removed.`);
}
