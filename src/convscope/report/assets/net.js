"use strict";
// The squares of pixels that the middle unit of each row sees, over the first thumbnail of the atlas or an empty frame.
// At first those of the convolutions, of a deep net some of them; that of one row while it is pointed at, focused or
// pressed.

function setUpNet() {
  const overview = document.querySelector("#net .overview");
  if (!(overview instanceof HTMLElement)) return;
  const atlas = window.DATA?.atlas;
  const input = atlas?.input || Number(overview.dataset.input);
  const boxes = queryAll("#net .overview button.rowbox", HTMLButtonElement);
  const squares = boxes.map((box) => squareOf(box.dataset, input));
  if (!input || !squares.some(isPresent)) return;
  const frame = query("#net .sees");
  frame.hidden = false;
  const show = squaresView(frame, squares, boxes, input);
  setUpRows(boxes, squares, show);
  const sheet = atlas?.sheets[0];
  if (!sheet) return;
  const watcher = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watcher.disconnect();
      drawImage(query("#net .picture", SVGElement), sheet, input);
    },
    { rootMargin: "300px" },
  );
  watcher.observe(frame);
}

/**
 * Draws the first squares and returns what shows one row, or with null all of the first.
 * @param {HTMLElement} frame
 * @param {(Square | null)[]} squares by row
 * @param {HTMLElement[]} boxes
 * @param {number} input
 */
function squaresView(frame, squares, boxes, input) {
  const caption = query("figcaption", HTMLElement, frame);
  const convolutions = squares.filter(isPresent).filter((square) => square.kind === "conv" && !square.whole);
  const first = firstSquares(convolutions, input);
  first.forEach((square, number) => {
    square.number = number;
  });
  const canvas = svg("svg", { role: "img" }, query(".seen", HTMLElement, frame));
  const marks = drawSquares(canvas, first, input, extentOf(first, input));
  const names = first.map((square) => `${square.name} ${square.field} pixels`).join(", ");
  const which = first.length < convolutions.length ? "some convolutions" : "each convolution";
  return (/** @type {number | null} */ at, /** @type {number | null} */ pressed) => {
    const square = at === null ? null : squares[at];
    markSquare(canvas, marks, square);
    boxes.forEach((box, place) => box.setAttribute("aria-checked", String(place === pressed)));
    for (const row of queryAll("table.net tr[data-row]"))
      row.classList.toggle("shown", square !== null && Number(row.dataset.row) === at);
    caption.textContent = square
      ? squareWords(square, input)
      : `What one unit in the middle of ${which} sees. Point at a row for its own.`;
    const label = square ? squareWords(square, input) : `Nested squares over an image: ${names}`;
    canvas.setAttribute("aria-label", label);
  };
}

/**
 * Makes all but one square faint, and draws that one if it is none of them.
 * @param {SVGElement} canvas
 * @param {Mark[]} marks
 * @param {Square | null} square null: none is faint
 */
function markSquare(canvas, marks, square) {
  const isMarked = (/** @type {Mark} */ mark) => mark.square === square;
  for (const mark of marks)
    for (const part of mark.parts) part.classList.toggle("faint", square !== null && !isMarked(mark));
  canvas.querySelectorAll(".lone").forEach((lone) => lone.remove());
  if (!square || marks.some(isMarked)) return;
  drawSquare(svg("g", { class: "lone" }, query(".squares", SVGElement, canvas)), square, "var(--accent)", "");
}

/**
 * Shows a row while it is pointed at or focused; a click on its box keeps it.
 * @param {HTMLButtonElement[]} boxes
 * @param {(Square | null)[]} squares
 * @param {(at: number | null, pressed: number | null) => void} show
 */
function setUpRows(boxes, squares, show) {
  /** @type {number | null} */
  let pressed = null;
  const follow = (/** @type {HTMLElement} */ element, /** @type {number} */ at) => {
    if (!squares[at]) return;
    element.addEventListener("pointerenter", (event) => {
      if (event.pointerType !== "touch") show(at, pressed);
    });
    element.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "touch") show(pressed, pressed);
    });
  };
  boxes.forEach((box, at) => {
    follow(box, at);
    box.disabled = !squares[at];
    box.addEventListener("focus", () => {
      if (box.matches(":focus-visible")) show(at, pressed);
    });
    box.addEventListener("blur", () => show(pressed, pressed));
    box.addEventListener("click", () => {
      pressed = pressed === at ? null : at;
      show(pressed, pressed);
    });
  });
  for (const row of queryAll("table.net tr[data-row]")) follow(row, Number(row.dataset.row));
  show(null, null);
}

setUpNet();
