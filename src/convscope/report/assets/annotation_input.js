"use strict";
// Pointers and keys on the photograph: they set, move and remove marks, and zoom.

/** @param {Event} event @returns {HTMLElement | null} the mark that the event is about */
const markUnder = (event) => (event.target instanceof Element ? event.target.closest("button.mark") : null);

function setUpPointers() {
  const photo = byId("photo");
  photo.addEventListener("pointerdown", (event) => {
    const part = work.marking.parts[work.part];
    if (!stage.isReady || event.button > 1 || !event.isPrimary) return;
    const mark = event.button === 0 ? markUnder(event) : null;
    if (!mark && !part) return stage.changed("Name a part first.");
    const kind = mark ? "mark" : part.box && event.button === 0 ? "box" : "point";
    const { mark: number = -1, corner = "" } = mark?.dataset ?? {};
    gesture = { kind, x: event.clientX, y: event.clientY, moved: false, number: Number(number), corner, draft: null };
    if (kind !== "point" || event.pointerType === "mouse") photo.setPointerCapture(event.pointerId);
    if (kind === "box") event.preventDefault();
  });
  photo.addEventListener("pointermove", (event) => {
    if (!gesture) return;
    const dx = event.clientX - gesture.x;
    const dy = event.clientY - gesture.y;
    gesture.moved ||= Math.hypot(dx, dy) >= CLICK / (gesture.kind === "mark" ? 2 : 1);
    if (!gesture.moved) return;
    if (gesture.kind === "box") {
      gesture.draft = boxBetween(placeOf({ clientX: gesture.x, clientY: gesture.y }), placeOf(event));
      drawMarks();
    } else if (gesture.kind === "mark") {
      const mark = marksOf()[gesture.number];
      gesture.draft = movedMark(mark, gesture.corner, dx / stage.scale, dy / stage.scale);
      drawMarks();
    } else if (event.pointerType === "mouse") byId("stage").scrollBy(-event.movementX, -event.movementY);
  });
  photo.addEventListener("pointerup", (event) => {
    const ended = gesture;
    gesture = null;
    if (!ended) return;
    const part = work.marking.parts[work.part];
    if (ended.kind === "mark") {
      if (ended.draft) replaceMark(ended.number, ended.draft);
      selectMark(ended.number, ended.corner);
    } else if (ended.kind === "box") markPart(ended.draft ?? boxBetween(placeOf(event), placeOf(event)));
    else if (!ended.moved && event.button === 0 && !part.box) markPart({ part: part.name, ...placeOf(event) });
    drawMarks();
  });
  photo.addEventListener("pointercancel", () => {
    gesture = null;
    drawMarks();
  });
  byId("stage").addEventListener("wheel", zoomByWheel, { passive: false });
  new ResizeObserver(() => stage.isReady && layOut()).observe(byId("stage"));
}

/** @param {WheelEvent} event */
function zoomByWheel(event) {
  event.preventDefault();
  layOut(stage.zoom * Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), event.clientX, event.clientY);
}

/** @param {number} number @param {string} corner */
function selectMark(number, corner) {
  const button = document.querySelector(`[data-mark="${number}"][data-corner="${corner}"]`);
  if (button instanceof HTMLElement) button.focus({ preventScroll: true });
}

/** The direction of an arrow key. @param {string} key */
function arrow(key) {
  const order = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].indexOf(key);
  return order < 0
    ? null
    : [
        [-1, 0],
        [1, 0],
        [0, -1],
        [0, 1],
      ][order];
}

/** What a key does to the mark that has the focus; whether it does anything. @param {KeyboardEvent} event @param {HTMLElement} button */
function markKey(event, button) {
  const number = Number(button.dataset.mark);
  const direction = arrow(event.key);
  const mark = marksOf()[number];
  if (event.key === "Delete" || event.key === "Backspace") {
    replaceMark(number, null);
    byId("stage").focus({ preventScroll: true });
  } else if (event.key === "Escape") byId("stage").focus({ preventScroll: true });
  else if (direction) {
    const step = Math.max(0.1, 1 / stage.scale) * (event.shiftKey ? 10 : 1);
    replaceMark(number, movedMark(mark, button.dataset.corner ?? "", direction[0] * step, direction[1] * step));
  } else return false;
  return true;
}

/** What a key does on the photograph itself, where Enter brings a crosshair; whether it does anything. @param {KeyboardEvent} event */
function crossKey(event) {
  const { width, height } = size();
  const part = work.marking.parts[work.part];
  const direction = arrow(event.key);
  if (!stage.cross) {
    if (event.key !== "Enter" || !part) return false;
    stage.cross = { x: tenth(width / 2), y: tenth(height / 2) };
    stage.changed(`Arrow keys move the crosshair, with Shift by little; Enter marks ${part.name}; Escape ends.`);
  } else if (event.key === "Escape") {
    stage.cross = stage.corner = null;
    stage.changed("");
  } else if (event.key === "Enter" && part) enterMark(part);
  else if (direction) {
    const step = event.shiftKey ? Math.max(0.1, 1 / stage.scale) : Math.max(width, height) / 50;
    const { x, y } = stage.cross;
    stage.cross = { x: within(x + direction[0] * step, width), y: within(y + direction[1] * step, height) };
    stage.changed(`${part?.name ?? ""}: ${numbers(stage.cross.x, stage.cross.y)}`);
  } else return false;
  return true;
}

/** Marks a part at the crosshair: a box with the second Enter. @param {MarkedPart} part */
function enterMark(part) {
  if (!stage.cross) return;
  if (!part.box) return markPart({ part: part.name, ...stage.cross });
  const corner = stage.corner;
  stage.corner = corner ? null : stage.cross;
  if (corner) markPart(boxBetween(corner, stage.cross));
  else stage.changed(`A corner of ${part.name}; Enter at the opposite corner.`);
}
