"use strict";
// The layer view: a card for each shown map, all drawn at once; with something beside, two cards of the same map each.

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const percentText = (share) => `${Math.round(100 * share)} %`;

// How the cards may be ordered, by the layer's end, so that they keep their places while the epoch moves; least first.
const ORDERS = {
  strength: (layer, map) => -told(layer, layer.frames.length - 1, map).strength,
  stability: (layer, map) => -meanKept(layer, map),
  dead: (layer, map) => -deadFrames(layer, map) - (told(layer, layer.frames.length - 1, map).dead ? layer.frames.length : 0),
};
const deadFrames = (layer, map) => layer.frames.filter((_, at) => told(layer, at, map).dead).length;

// The share of a map's images that stayed from one shown epoch to the next, on average; -1 where nothing was compared.
function meanKept(layer, map) {
  const kept = layer.frames.map((_, at) => told(layer, at, map).kept).filter(known);
  return kept.length ? kept.reduce((sum, share) => sum + share) / kept.length : -1;
}

function ordered(layer, sort) {
  const place = ORDERS[sort];
  return place ? [...layer.shown].sort((a, b) => place(layer, a) - place(layer, b) || a - b) : layer.shown;
}

const strongest = (layer) => (layer.strongest ??= Math.max(0, ...layer.top.flatMap((maps) => maps.map((top) => top.score[0] ?? 0))));

function card(holder) {
  const link = html("a", { class: "card" }, holder), head = html("span", { class: "head" }, link);
  const parts = { link, name: html("b", {}, head), when: html("span", { class: "when" }, head), dead: html("span", { class: "dead" }, head, "✕ dead") };
  parts.strength = html("span", { class: "strength" }, head);
  const bar = html("span", { class: "bar-of", "aria-hidden": "true" }, link);
  parts.bar = html("i", {}, bar);
  const nines = html("span", { class: "nines" }, link);
  parts.projections = html("canvas", { role: "img", class: "projections" }, nines);
  parts.patches = html("canvas", { role: "img", class: "patches" }, nines);
  parts.nothing = html("span", { class: "nothing" }, link);
  parts.kept = html("span", { class: "kept" }, link);
  return parts;
}

// most: the strength that fills the bar. two: whether another card of the map stands beside this one.
function fillCard(parts, side, map, { most, two }) {
  const said = told(side.layer, side.at, map), { alive } = said;
  parts.name.textContent = map === undefined ? "" : `map ${map}`;
  parts.when.textContent = two ? side.words : "";
  parts.link.classList.toggle("gone", !alive);
  parts.dead.hidden = !said.dead;
  parts.strength.textContent = alive && known(said.strength) ? `strength ${valueText(said.strength)}` : "";
  parts.strength.title = "score of its strongest image";
  parts.bar.style.width = `${alive ? (100 * said.strength) / most : 0}%`;
  parts.kept.textContent = alive ? footWords(side, said) : "";
  parts.nothing.textContent = said.dead ? "no image excites it" : said.shown ? "" : "not shown there";
  for (const kind of ["projections", "patches"]) {
    parts[kind].hidden = !alive;
    if (!alive) continue;
    drawTiles(parts[kind], side, map, kind);
    parts[kind].setAttribute("aria-label", `${kind} of ${side.layer.name} map ${map}, ${side.words}, ${classWords(side, said.top)}`);
  }
}

// "100 % stayed · 7 owl, 2 bear": at most two classes, the others counted together.
function footWords(side, { kept, top }) {
  const classes = classesOf(side.run, top), rest = classes.slice(2).reduce((sum, [, count]) => sum + count, 0);
  const named = classes.slice(0, 2).map(([name, count]) => `${count} ${name}`).concat(rest ? `${rest} other` : []);
  return [known(kept) && `${percentText(kept)} stayed`, named.join(", ")].filter(Boolean).join(" · ");
}
const classWords = (side, top) => classesOf(side.run, top).map(([name, count]) => `${count} ${name}`).join(", ");

// "16 of 96 maps shown. Dead at epoch 3: map 5; of those not shown: 9, 21 and 4 more."
function tally({ layer, at, frame }) {
  const all = !known(layer.maps) || layer.shown.length >= layer.maps, when = known(frame.epoch) ? ` at epoch ${frame.epoch}` : "";
  const shown = all ? `${plural(layer.shown.length, "map")}.` : `${layer.shown.length} of ${plural(layer.maps, "map")} shown.`;
  const dead = layer.dead?.[at] ?? layer.shown.filter((map) => told(layer, at, map).dead);
  const rule = frame.sheet.rule ? ` Projections by ${frame.sheet.rule}.` : "";
  if (!dead.length) return `${shown} None is dead${when}.${rule}`;
  const [here, elsewhere] = [true, false].map((side) => dead.filter((map) => layer.shown.includes(map) === side));
  const parts = [here.length && mapsNamed(here), elsewhere.length && `${here.length ? "of those not shown " : "none of those shown, but "}${mapsNamed(elsewhere)}`];
  return `${shown} Dead${when}: ${parts.filter(Boolean).join("; ")}.${rule}`;
}
const MOST_NAMED = 12;
function mapsNamed(maps) {
  const more = maps.length - MOST_NAMED;
  return `${maps.length === 1 ? "map" : "maps"} ${maps.slice(0, MOST_NAMED).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

// Which map of the other side stands beside each: the same one where one side shows all that the other shows; between
// runs of other seeds a number means nothing, and the maps stand beside each other in their order.
function partners([first, second], sort) {
  const mine = ordered(first.layer, sort);
  if (!second?.layer || samePlaces(first.layer, second.layer)) return new Map(mine.map((map) => [map, map]));
  const theirs = ordered(second.layer, sort);
  return new Map(mine.map((map, at) => [map, theirs[at]]));
}
const samePlaces = ({ shown }, other) => (shown.length < other.shown.length ? shown.every((map) => other.shown.includes(map)) : other.shown.every((map) => shown.includes(map)));

function tilesView(holder) {
  let cards = [], built = "";
  const build = (maps, sides) => {
    const focused = holder.contains(document.activeElement) ? document.activeElement.dataset.map : undefined;
    holder.replaceChildren();
    cards = maps.map((map) => {
      const item = html("li", { class: sides > 1 ? "twin" : "" }, holder);
      const both = Array.from({ length: sides }, () => card(item));
      for (const { link } of both) {
        link.dataset.map = map;
        link.href = addressOf({ map });
        link.addEventListener("pointerdown", () => { link.href = addressOf({ map }); }); // what a new tab then shows
        link.addEventListener("click", (event) => { if (plainClick(event)) openMap(map); });
      }
      return { map, both };
    });
    if (focused !== undefined) cardOf(focused)?.focus({ preventScroll: true });
  };
  const cardOf = (map) => holder.querySelector(`a[data-map="${map}"]`);
  const show = (view, sides) => {
    const maps = ordered(sides[0].layer, view.sort), wanted = JSON.stringify([view.layer, sides.length, maps]);
    if (wanted !== built) build(maps, sides.length);
    built = wanted;
    holder.className = ["tiles", view.show ?? "both", sides.length > 1 ? "two" : ""].join(" ");
    const scale = { most: Math.max(...sides.map((side) => strongest(side.layer))), two: sides.length > 1 };
    const beside = partners(sides, view.sort);
    for (const { map, both } of cards) both.forEach((parts, number) => fillCard(parts, sides[number], number ? beside.get(map) : map, scale));
  };
  const step = (by) => {
    const links = cards.map(({ both }) => both[0].link), at = links.findIndex((link) => link.parentNode.contains(document.activeElement));
    links[at < 0 ? 0 : Math.min(links.length - 1, Math.max(0, at + by))]?.focus();
  };
  return { show, step, focus: (map) => cardOf(map)?.focus() };
}

// A click that asks for no new tab; its own way is then not gone.
function plainClick(event) {
  const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  if (plain) event.preventDefault();
  return plain;
}
