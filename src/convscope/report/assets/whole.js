"use strict";
// The whole image of one rank in a panel of the map view, with the box that its unit sees.

/**
 * drawn: the image that the photo shows, or will show once its sheet is loaded.
 * @param {Element} holder
 */
function wholeImage(holder) {
  const group = html("div", { class: "group whole" }, holder);
  const title = html("h4", {}, group);
  const frame = html("div", { class: "photo" }, group);
  const photo = html("canvas", { role: "img", width: 112, height: 112 }, frame);
  const field = html("i", { class: "field-box", "aria-hidden": "true" }, frame);
  const cut = html("i", { class: "cut-box", "aria-hidden": "true" }, frame);
  const caption = html("p", { class: "caption", "aria-live": "polite" }, group);
  return { group, title, photo, field, cut, caption, drawn: /** @type {Thumbnail | undefined} */ (undefined) };
}

/**
 * Shows the image of the rank that is looked at.
 * @param {Panel} parts
 */
async function showRank(parts) {
  if (!parts.scene) return;
  const { side, map, top } = parts.scene;
  const { whole } = parts;
  whole.group.hidden = parts.classes.hidden = !top.image.length;
  if (!top.image.length) return;
  const rank = Math.min(parts.hovered ?? state.rank ?? 0, top.image.length - 1);
  const image = imageOf(side.run, top.image[rank]);
  for (const tile of parts.tiles) {
    tile.button.classList.toggle("looked", tile.rank === rank);
    tile.button.setAttribute("aria-pressed", String(tile.rank === rank));
  }
  whole.title.textContent = `whole image, rank ${rank + 1}`;
  const box = boxOf(side.layer, top.row[rank], top.col[rank]);
  const cut = cutOf(side.frame, map, rank, box);
  placeBox(whole.field, box, Number(side.run.atlas.input));
  placeBox(whole.cut, cut, Number(side.run.atlas.input));
  const label = image?.label ?? "class unknown";
  const outside = !whole.field.hidden && whole.field.classList.contains("cut");
  fillCaption(whole.caption, label, [
    fileWords(image?.name ?? String(top.image[rank])),
    `score ${valueText(top.score[rank])}`,
    side.layer.field === null && "its unit sees the whole image",
    outside && "the box goes on where it is dashed",
    cut !== null && "the thin box is what its tiles show",
  ]);
  const words = `whole image of ${side.layer.name} map ${map}, ${side.words}, rank ${rank + 1}, ${label}`;
  whole.photo.setAttribute("aria-label", words);
  await drawPhoto(whole, image);
}

/**
 * Draws the image once its sheet of thumbnails is loaded. The image of the last call wins.
 * @param {WholeImage} whole
 * @param {Thumbnail | undefined} image
 */
async function drawPhoto(whole, image) {
  whole.drawn = image;
  const sheet = image && (await load(image.source));
  if (whole.drawn !== image) return;
  const pen = penOf(whole.photo);
  const across = whole.photo.width;
  pen.clearRect(0, 0, across, across);
  if (image && sheet?.naturalWidth)
    pen.drawImage(sheet, image.x, image.y, image.side, image.side, 0, 0, across, across);
}

/**
 * @param {Element} caption
 * @param {string} label
 * @param {(string | false)[]} parts
 */
function fillCaption(caption, label, parts) {
  caption.replaceChildren();
  html("b", {}, caption, label);
  for (const part of parts) if (part) html("span", {}, caption, part);
}

/**
 * Data without files have numbers for names.
 * @param {string} name
 */
const fileWords = (name) => (/^\d+$/.test(name) ? `image ${name}` : name);

/**
 * Places a box over the photo, cut to the image; an edge where the field goes on outside is dashed.
 * @param {HTMLElement} box
 * @param {Edges | null} edges null: no box
 * @param {number} input side of the image
 */
function placeBox(box, edges, input) {
  box.hidden = edges === null;
  if (!edges) return;
  const [left, top, right, bottom] = edges.map((edge) => Math.min(input, Math.max(0, edge)));
  const size = { width: percentage(right - left, input), height: percentage(bottom - top, input) };
  Object.assign(box.style, { left: percentage(left, input), top: percentage(top, input), ...size });
  const cut = [edges[1] < 0, edges[2] > input, edges[3] > input, edges[0] < 0];
  box.style.borderStyle = cut.map((out) => (out ? "dashed" : "solid")).join(" ");
  box.classList.toggle("cut", cut.some(Boolean));
}
