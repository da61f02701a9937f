"use strict";
// Saving what the page shows: tiles and strips as png, curves as svg, pictures as their files. A browser lets no page
// from disk read back what it has drawn from other files; then the page leads to the file, and to what writes one.

/**
 * @param {string} name of the file
 * @param {string} address
 */
function saveAddress(name, address) {
  const link = html("a", { href: address, download: name.replace(/[^\w.-]+/g, "_") }, document.body);
  link.click();
  link.remove();
}

/**
 * @param {string} name
 * @param {Blob} blob
 */
function saveBlob(name, blob) {
  const address = URL.createObjectURL(blob);
  saveAddress(name, address);
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/**
 * Saves a canvas as png. Returns false where the browser does not allow it.
 * @param {string} name
 * @param {HTMLCanvasElement} canvas
 * @returns {boolean}
 */
function saveCanvas(name, canvas) {
  try {
    canvas.toBlob((blob) => blob && saveBlob(name, blob));
    return true;
  } catch {
    return false; // a page from disk: its pictures count as those of others
  }
}

/**
 * Several canvases of one size in rows, with a word above each.
 * @param {HTMLCanvasElement[]} tiles
 * @param {string[]} words
 * @param {number} columns
 */
function sheetOf(tiles, words, columns) {
  const side = Math.max(...tiles.map((tile) => tile.width));
  const head = words.some(Boolean) ? 20 : 0;
  const [stepX, stepY] = [side + 4, side + 4 + head];
  const rows = Math.ceil(tiles.length / columns);
  const canvas = html("canvas", { width: Math.min(columns, tiles.length) * stepX - 4, height: rows * stepY - 4 });
  const pen = penOf(canvas);
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = "#222";
  pen.font = "14px sans-serif";
  tiles.forEach((tile, at) => {
    const [x, y] = [(at % columns) * stepX, Math.floor(at / columns) * stepY];
    pen.fillText(words[at] ?? "", x, y + 14);
    pen.drawImage(tile, x, y + head);
  });
  return canvas;
}

const isOverTime = () => epochs.length > 1;

/** The command that writes a film of what is shown, or a poster of the layer where there is one epoch alone. */
function exportCommand() {
  const folder = decodeURIComponent(location.pathname.replace(/\/report\/[^/]*$/, ""));
  const run = location.protocol === "file:" && location.pathname.includes("/report/") ? folder : "<run folder>";
  const words = ["job=export", `run=${run}`, `export.what=${isOverTime() ? "film" : "poster"}`];
  words.push(`export.layer=${state.layer}`);
  if (isOverTime() && state.map !== null) words.push(`export.map=${state.map}`);
  return words.map(quoted).join(" ");
}

/**
 * A button that saves a sheet of canvases, and the line that stands in for it where the browser refuses.
 * @param {Element} holder
 * @param {string} label
 * @param {() => {name: string, canvas: HTMLCanvasElement} | null} drawn
 */
function saveButton(holder, label, drawn) {
  const box = html("p", { class: "saves" }, holder);
  const button = html("button", { type: "button" }, box, label);
  const note = html("span", { class: "note", role: "status" }, box);
  button.addEventListener("click", async () => {
    const sheet = drawn();
    if (!sheet || saveCanvas(sheet.name, sheet.canvas)) return;
    const side = await sideOf(own, state.layer, state.epoch);
    note.replaceChildren("A browser saves no tiles of a page from disk. ");
    if (!("problem" in side)) {
      const file = { href: side.run.report + side.frame.source, target: "_blank", rel: "noopener", download: "" };
      html("a", file, note, `The file with all maps of ${side.layer.name}`);
      note.append(isOverTime() ? "; or as a film: " : "; or as a poster: ");
    }
    html("code", {}, note, exportCommand());
  });
  return box;
}

const STYLES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "font-size", "font-family"];

/**
 * A drawing of the page as a file that needs no style sheet.
 * @param {SVGSVGElement} drawing
 */
function svgFile(drawing) {
  const copy = /** @type {SVGSVGElement} */ (drawing.cloneNode(true));
  const { width, height } = drawing.getBoundingClientRect();
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", String(width));
  copy.setAttribute("height", String(height));
  const pairs = [...drawing.querySelectorAll("*")];
  [...copy.querySelectorAll("*")].forEach((element, at) => {
    const style = getComputedStyle(pairs[at]);
    for (const name of STYLES)
      /** @type {SVGElement} */ (element).style.setProperty(name, style.getPropertyValue(name));
  });
  return new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" });
}

function setUpChartSaves() {
  for (const box of queryAll(".chart")) {
    const title = query("h3", HTMLElement, box);
    const drawing = box.querySelector("svg[role=img]");
    if (!(drawing instanceof SVGSVGElement)) continue;
    const words = { type: "button", class: "saves save", "aria-label": `save ${title.textContent} as svg` };
    const button = html("button", words, null, "svg");
    title.after(button);
    button.addEventListener("click", () => saveBlob(`${title.textContent}.svg`, svgFile(drawing)));
  }
}

/** Makes links to pictures save them where they stand in the page itself: no browser opens such an address. */
function saveOwnPictures() {
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a.frame, a.png") : null;
    if (!(link instanceof HTMLAnchorElement)) return;
    const address = link.getAttribute("href") ?? link.querySelector("img")?.src ?? "";
    if (!address.startsWith("data:")) return;
    event.preventDefault();
    const words = link.querySelector("img")?.alt || link.textContent || "picture";
    saveAddress(`${words.slice(0, 60)}.${/^data:image\/(\w+)/.exec(address)?.[1] ?? "png"}`, address);
  });
}

function setUpDownloads() {
  const at = () => joined([`${state.layer}`, state.map !== null && `map${state.map}`, `epoch${state.epoch}`], "_");
  const tilesSave = saveButton(byId("map"), "save tiles", () => {
    const tiles = queryAll(".panel:not([hidden]) .rank canvas", HTMLCanvasElement).slice(0, 18);
    const order = [0, 1, 2].flatMap((row) => [0, 9].flatMap((kind) => [0, 1, 2].map((at) => kind + 3 * row + at)));
    if (tiles.length < 18) return null;
    const inOrder = order.map((at) => tiles[at]);
    return { name: `${at()}.png`, canvas: sheetOf(inOrder, [], 6) };
  });
  byId("overtime").before(tilesSave);
  saveButton(byId("overtime"), "save strip", () => {
    const cells = queryAll("#strip button", HTMLButtonElement);
    const words = cells.map((cell) => query("span", HTMLElement, cell).textContent ?? "");
    const tiles = cells.map((cell) => query("canvas", HTMLCanvasElement, cell));
    return tiles.length ? { name: `${at()}_strip.png`, canvas: sheetOf(tiles, words, 16) } : null;
  });
  setUpChartSaves();
  saveOwnPictures();
  addEventListener("beforeprint", () => {
    query(".controls").dataset.when = isPresent(state.epoch) ? `epoch ${state.epoch}` : "";
  });
  return () => {};
}
