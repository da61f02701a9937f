"use strict";
// The map view: nine projections with their patches, large; beside them the whole image of one of them with the box that
// its unit sees; two such panels where something is shown beside. Its strip, curve and neighbors are in strip.js.

const percentage = (part, whole) => `${(100 * part) / whole}%`;

// A tile that can be looked at: hover shows its image for as long, a click or the focus keeps it.
function rankButton(holder, kind, k, look) {
  const button = html("button", { type: "button", class: "rank" }, holder);
  const canvas = html("canvas", { role: "img" }, button);
  button.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") look(k, false); });
  button.addEventListener("click", () => look(k, true));
  button.addEventListener("focus", () => { if (button.matches(":focus-visible")) look(k, true); });
  return { button, canvas, kind, k };
}

function panel(holder) {
  const box = html("div", { class: "panel" }, holder), parts = { box, rank: 0, hovered: null };
  const head = html("p", { class: "head" }, box);
  for (const name of ["when", "dead", "said"]) parts[name] = html(name === "when" ? "b" : "span", { class: name }, head);
  parts.dead.textContent = "✕ dead";
  parts.nothing = html("p", { class: "nothing" }, box);
  parts.body = html("div", { class: "body" }, box);
  parts.look = (k, keep) => {
    parts.hovered = keep ? null : k;
    if (keep && k !== (state.rank ?? 0)) { state.rank = k || null; remember(); }
    showRank(parts);
  };
  parts.tiles = ["projections", "patches"].flatMap((kind) => {
    const group = html("div", { class: "group" }, parts.body);
    const head = html("h4", {}, group, kind === "patches" ? "image patches" : kind);
    if (kind === "projections") parts.rule = head;
    const nine = html("div", { class: "nine" }, group);
    nine.addEventListener("pointerleave", () => { parts.hovered = null; showRank(parts); });
    return Array.from({ length: 9 }, (_, k) => rankButton(nine, kind, k, parts.look));
  });
  wholeImage(parts);
  parts.classes = html("div", { class: "classes" }, parts.body);
  return parts;
}

function wholeImage(parts) {
  const group = (parts.whole = html("div", { class: "group whole" }, parts.body));
  parts.title = html("h4", {}, group);
  const frame = html("div", { class: "photo" }, group);
  parts.photo = html("canvas", { role: "img", width: 112, height: 112 }, frame);
  parts.field = html("i", { class: "field-box", "aria-hidden": "true" }, frame);
  parts.cut = html("i", { class: "cut-box", "aria-hidden": "true" }, frame);
  parts.caption = html("p", { class: "caption", "aria-live": "polite" }, group);
}

function fillPanel(parts, side, map, two) {
  const said = told(side.layer, side.at, map), { alive, count } = said;
  Object.assign(parts, { side, map, top: said.top });
  parts.when.textContent = two ? [side.words, side.run !== own && map !== undefined && `map ${map}`].filter(Boolean).join(", ") : "";
  parts.dead.hidden = !said.dead;
  parts.said.textContent = alive ? [known(said.strength) && `strength ${valueText(said.strength)}`, known(said.kept) && `${percentText(said.kept)} of its images stayed`].filter(Boolean).join(" · ") : "";
  parts.nothing.textContent = alive ? "" : said.dead ? `No image excites it${known(side.frame.epoch) ? ` at epoch ${side.frame.epoch}` : ""}.` : "This map is not shown there.";
  parts.nothing.hidden = alive;
  parts.body.hidden = !alive;
  if (!alive) return;
  const rule = side.frame.sheet.rule ?? "";
  Object.assign(parts.rule, { textContent: ["projections", rule && `by ${rule.split(" ")[0]}`].filter(Boolean).join(" "), title: rule });
  for (const { button, canvas, kind, k } of parts.tiles) {
    drawTiles(canvas, side, map, kind, k, k + 1);
    button.disabled = k >= count;
    canvas.setAttribute("aria-label", tileWords(side, map, said.top, k, kind));
  }
  fillClasses(parts.classes, side, said.top);
  showRank(parts);
}

function tileWords(side, map, top, k, kind) {
  const label = imageOf(side.run, top.image[k])?.label ?? (k < top.image.length ? "class unknown" : "");
  return [`${side.layer.name} map ${map}`, side.words, `rank ${k + 1}`, label, kind === "patches" ? "image patch" : "projection"].filter(Boolean).join(", ");
}

// The whole image of the rank that is looked at, with its box; drawn once the sheet of thumbnails is there.
async function showRank(parts) {
  const { side, map, top } = parts;
  parts.whole.hidden = parts.classes.hidden = !top.image.length;
  if (!top.image.length) return;
  const rank = Math.min(parts.hovered ?? state.rank ?? 0, top.image.length - 1), image = imageOf(side.run, top.image[rank]);
  for (const { button, k } of parts.tiles) button.classList.toggle("looked", k === rank);
  for (const { button, k } of parts.tiles) button.setAttribute("aria-pressed", String(k === rank));
  parts.title.textContent = `whole image, rank ${rank + 1}`;
  const box = boxOf(side.layer, top.row[rank], top.col[rank]), cut = cutOf(side.frame, map, rank, box);
  placeBox(parts.field, box, side.run.atlas.input);
  placeBox(parts.cut, cut, side.run.atlas.input);
  const outside = !parts.field.hidden && parts.field.classList.contains("cut") ? "the box goes on where it is dashed" : "";
  parts.caption.replaceChildren();
  html("b", {}, parts.caption, image?.label ?? "class unknown");
  const words = [fileWords(image?.name ?? String(top.image[rank])), `score ${valueText(top.score[rank])}`, side.layer.field !== null ? "" : "its unit sees the whole image", outside, cut ? "the thin box is what its tiles show" : ""];
  for (const each of words.filter(Boolean)) html("span", {}, parts.caption, each);
  parts.photo.setAttribute("aria-label", `whole image of ${side.layer.name} map ${map}, ${side.words}, rank ${rank + 1}, ${image?.label ?? "class unknown"}`);
  parts.drawn = image;
  const sheet = image && (await load(image.source));
  if (parts.drawn !== image) return;
  const pen = parts.photo.getContext("2d"), across = parts.photo.width;
  pen.clearRect(0, 0, across, across);
  if (sheet?.naturalWidth) pen.drawImage(sheet, image.x, image.y, image.side, image.side, 0, 0, across, across);
}

// Data without files tell a number alone.
const fileWords = (name) => (/^\d+$/.test(name) ? `image ${name}` : name);

// Cut to the image; an edge where the field goes on outside is dashed.
function placeBox(box, edges, input) {
  box.hidden = edges === null;
  if (box.hidden) return;
  const [left, top, right, bottom] = edges.map((edge) => Math.min(input, Math.max(0, edge)));
  Object.assign(box.style, { left: percentage(left, input), top: percentage(top, input), width: percentage(right - left, input), height: percentage(bottom - top, input) });
  const cut = [edges[1] < 0, edges[2] > input, edges[3] > input, edges[0] < 0];
  box.style.borderStyle = cut.map((out) => (out ? "dashed" : "solid")).join(" ");
  box.classList.toggle("cut", cut.some(Boolean));
}

function fillClasses(holder, side, top) {
  holder.replaceChildren();
  html("h4", {}, holder, `classes among its ${top.image.length === 9 ? "nine" : plural(top.image.length, "image")}`);
  const list = html("ul", {}, holder);
  for (const [name, count] of classesOf(side.run, top)) {
    const item = html("li", {}, list);
    html("span", { class: "label" }, item, name);
    html("i", { "aria-hidden": "true" }, item).style.width = `${(count / 9) * 40}%`;
    html("b", {}, item, String(count));
  }
}
