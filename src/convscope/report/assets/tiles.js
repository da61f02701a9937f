"use strict";
// The cards of the layer view, one for each map of the sheet: their order, what each shows, and the line above them.

/**
 * @param {number} count
 * @param {string} word
 */
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
/** @param {number} share */
const percentText = (share) => `${Math.round(100 * share)} %`;

// ---------------------------------------------------------------- order of the maps

/**
 * How the cards may be ordered, least first: by the layer's end, so that they keep their places while the epoch moves.
 * @type {Record<string, (layer: AtlasLayer, map: number) => number>}
 */
const ORDERS = {
  strength: (layer, map) => -Number(lastState(layer, map).strength),
  stability: (layer, map) => -meanOverlap(layer, map),
  dead: (layer, map) => -deadFrames(layer, map) - (lastState(layer, map).dead ? layer.frames.length : 0),
};

/**
 * @param {AtlasLayer} layer
 * @param {number} map
 */
const statesOf = (layer, map) => layer.frames.map((_, at) => mapState(layer, at, map));

/**
 * @param {AtlasLayer} layer
 * @param {number} map
 */
const lastState = (layer, map) => mapState(layer, layer.frames.length - 1, map);

/**
 * @param {AtlasLayer} layer
 * @param {number} map
 */
const deadFrames = (layer, map) => statesOf(layer, map).filter((state) => state.dead).length;

/**
 * The share of a map's images that stayed from one shown epoch to the next, on average; -1 where nothing was compared.
 * @param {AtlasLayer} layer
 * @param {number} map
 */
function meanOverlap(layer, map) {
  const overlaps = statesOf(layer, map)
    .map((state) => state.overlap)
    .filter(isPresent);
  return overlaps.length ? overlaps.reduce((sum, share) => sum + share) / overlaps.length : -1;
}

/**
 * The maps of a layer's sheet in an order of ORDERS, or by number.
 * @param {AtlasLayer} layer
 * @param {string | null} sort
 */
function ordered(layer, sort) {
  const place = sort === null ? undefined : ORDERS[sort];
  return place ? [...layer.shown].sort((a, b) => place(layer, a) - place(layer, b) || a - b) : layer.shown;
}

/**
 * The highest score of a layer's maps over all epochs.
 * @param {AtlasLayer} layer
 */
const strongest = (layer) =>
  (layer.strongest ??= Math.max(0, ...layer.top.flatMap((maps) => maps.map((top) => top.score[0] ?? 0))));

// ---------------------------------------------------------------- one card

/** @param {Element} holder */
function card(holder) {
  const link = html("a", { class: "card" }, holder);
  const head = html("span", { class: "head" }, link);
  const name = html("b", {}, head);
  const when = html("span", { class: "when" }, head);
  const dead = html("span", { class: "dead" }, head, "✕ dead");
  const strength = html("span", { class: "strength" }, head);
  const part = html("span", { class: "part" }, link);
  const bar = html("i", {}, html("span", { class: "bar-of", "aria-hidden": "true" }, link));
  const nines = html("span", { class: "nines" }, link);
  const projections = html("canvas", { role: "img", class: "projections" }, nines);
  const patches = html("canvas", { role: "img", class: "patches" }, nines);
  const nothing = html("span", { class: "nothing" }, link);
  const foot = html("span", { class: "kept" }, link);
  return { link, name, when, dead, strength, part, bar, projections, patches, nothing, foot };
}

/**
 * @param {ReturnType<typeof card>} parts
 * @param {Side} side
 * @param {number | undefined} map
 * @param {{most: number, two: boolean}} scale most: the strength that fills the bar. two: whether a map has two cards
 */
function fillCard(parts, side, map, { most, two }) {
  const state = mapState(side.layer, side.at, map);
  const { alive, strength } = state;
  parts.name.textContent = map === undefined ? "" : `map ${map}`;
  parts.when.textContent = two ? joined([side.words, matchWords(side.layer, map)], ", ") : "";
  parts.link.classList.toggle("gone", !alive);
  parts.dead.hidden = !state.dead;
  parts.strength.textContent = alive && isPresent(strength) ? `strength ${valueText(strength)}` : "";
  parts.part.textContent = alive ? labelWords(side.layer, map) : "";
  parts.part.classList.toggle("detector", Boolean(labelOf(side.layer, map)?.detector));
  parts.strength.title = "score of its strongest image";
  parts.bar.style.width = `${alive ? (100 * Number(strength)) / most : 0}%`;
  parts.foot.textContent = alive ? footWords(side, state) : "";
  parts.nothing.textContent = state.dead ? "no image excites it" : state.present ? "" : "not shown there";
  for (const kind of /** @type {TileKind[]} */ (["projections", "patches"])) {
    const canvas = parts[kind];
    canvas.hidden = !alive;
    if (!alive) continue;
    drawTiles(canvas, side, map, kind);
    const classes = classWords(classesOf(side.run, state.top));
    canvas.setAttribute("aria-label", `${kind} of ${side.layer.name} map ${map}, ${side.words}, ${classes}`);
  }
}

/** @param {[string, number][]} classes */
const classWords = (classes) => classes.map(([name, count]) => `${count} ${name}`).join(", ");

/**
 * "100 % stayed · 7 owl, 2 bear": at most two classes, the others counted together.
 * @param {Side} side
 * @param {MapState} state
 */
function footWords(side, { overlap, top }) {
  const classes = classesOf(side.run, top);
  const rest = classes.slice(2).reduce((sum, [, count]) => sum + count, 0);
  const words = joined([classWords(classes.slice(0, 2)), rest > 0 && `${rest} other`], ", ");
  return joined([isPresent(overlap) && `${percentText(overlap)} stayed`, words], " · ");
}

// ---------------------------------------------------------------- the line above the cards

const MOST_NAMED = 12; // maps by their numbers

/**
 * "16 of 96 maps shown. Dead at epoch 3: map 5; of those not drawn: 9, 21 and 4 more."
 * @param {Side} side
 * @param {string | null} part whose detectors alone are shown
 */
function tally({ layer, at, frame }, part) {
  const count = countWords(layer, part);
  const when = isPresent(frame.epoch) ? ` at epoch ${frame.epoch}` : "";
  const rule = frame.sheet.rule ? ` Projections by ${frame.sheet.rule}.` : "";
  const dead = layer.dead?.[at] ?? layer.shown.filter((map) => mapState(layer, at, map).dead);
  if (!dead.length) return `${count} None is dead${when}.${rule}`;
  const inside = dead.filter((map) => layer.shown.includes(map));
  const outside = dead.filter((map) => !layer.shown.includes(map));
  const before = inside.length ? "of those not drawn " : "none of those drawn, but ";
  const parts = [inside.length > 0 && mapNames(inside), outside.length > 0 && before + mapNames(outside)];
  return `${count} Dead${when}: ${joined(parts, "; ")}.${rule}`;
}

/** @param {number[]} maps */
function mapNames(maps) {
  const more = maps.length - MOST_NAMED;
  const names = maps.slice(0, MOST_NAMED).join(", ");
  return `${maps.length === 1 ? "map" : "maps"} ${names}${more > 0 ? ` and ${more} more` : ""}`;
}
