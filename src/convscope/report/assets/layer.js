"use strict";
// The layer view as a whole: which cards there are, which maps stand side by side, and going from card to card.

/** @typedef {{map: number, twins: ReturnType<typeof card>[]}} MapCards the cards of one map, one for each side */

/**
 * Which map of the other side stands beside each map: its match, where a job has searched it; else the same one where
 * one side shows all maps of the other; else the maps stand beside each other in their order.
 * @param {Side[]} sides one or two
 * @param {string | null} sort
 * @returns {Map<number, number>}
 */
function partners([first, second], sort) {
  const maps = ordered(first.layer, sort);
  if (second?.layer.partners) return new Map(second.layer.partners.map(([map, partner]) => [map, partner]));
  if (!second || haveSameMaps(first.layer, second.layer)) return new Map(maps.map((map) => [map, map]));
  const otherMaps = ordered(second.layer, sort);
  return new Map(maps.slice(0, otherMaps.length).map((map, at) => [map, otherMaps[at]]));
}

/**
 * "r 0.81": how a map of the other run correlates with the map that it matches; "" where it is no match.
 * @param {AtlasLayer} layer
 * @param {number | undefined} map
 */
function matchWords(layer, map) {
  const match = layer.partners?.find(([, partner]) => partner === map);
  return match ? `r ${match[2].toFixed(2)}${match[3] ? "" : ", as shuffled"}` : "";
}

/**
 * Whether one of the two layers shows all maps of the other.
 * @param {AtlasLayer} first
 * @param {AtlasLayer} second
 */
function haveSameMaps(first, second) {
  const [fewer, more] = [first.shown, second.shown].sort((a, b) => a.length - b.length);
  return fewer.every((map) => more.includes(map));
}

/** @param {HTMLElement} holder */
function tilesView(holder) {
  /** @type {MapCards[]} */
  let cards = [];
  let built = "";
  const build = (/** @type {number[]} */ maps, /** @type {number} */ sides) => {
    const active = document.activeElement;
    const focused = active instanceof HTMLElement && holder.contains(active) ? active.dataset.map : undefined;
    holder.replaceChildren();
    cards = maps.map((map) => mapCards(holder, map, sides));
    if (focused !== undefined) focusCard(holder, focused, true);
  };
  /**
   * @param {PageState} view
   * @param {Side[]} sides
   */
  const show = (view, sides) => {
    const maps = chosenMaps(sides[0].layer, view);
    const key = JSON.stringify([view.layer, sides.length, maps]);
    if (key !== built) build(maps, sides.length);
    built = key;
    holder.className = joined(["tiles", view.show ?? "both", sides.length > 1 && "two"], " ");
    const scale = { most: Math.max(...sides.map((side) => strongest(side.layer))), two: sides.length > 1 };
    const partner = partners(sides, view.sort);
    for (const { map, twins } of cards)
      twins.forEach((parts, number) => fillCard(parts, sides[number], number ? partner.get(map) : map, scale));
  };
  const step = (/** @type {number} */ by) => {
    const links = cards.map(({ twins }) => twins[0].link);
    const at = links.findIndex((link) => link.parentNode?.contains(document.activeElement));
    const next = at < 0 ? 0 : Math.min(links.length - 1, Math.max(0, at + by));
    links[next]?.focus();
  };
  return { show, step, focus: (/** @type {number} */ map) => focusCard(holder, map) };
}

/**
 * @param {Element} holder of all cards
 * @param {number | string} map
 * @param {boolean} [preventScroll]
 */
function focusCard(holder, map, preventScroll = false) {
  const link = holder.querySelector(`a[data-map="${map}"]`);
  if (link instanceof HTMLElement) link.focus({ preventScroll });
}

/**
 * New cards of one map.
 * @param {Element} holder
 * @param {number} map
 * @param {number} sides
 * @returns {MapCards}
 */
function mapCards(holder, map, sides) {
  const item = html("li", { class: sides > 1 ? "twin" : "" }, holder);
  const twins = Array.from({ length: sides }, () => card(item));
  for (const { link } of twins) {
    const setAddress = () => {
      link.href = addressOf({ map });
    };
    link.dataset.map = String(map);
    setAddress();
    link.addEventListener("pointerdown", setAddress); // what a new tab then shows
    link.addEventListener("click", (event) => {
      if (plainClick(event)) openMap(map);
    });
  }
  return { map, twins };
}

/**
 * Whether a click asks for no new tab; the browser then does not follow the link.
 * @param {MouseEvent} event
 */
function plainClick(event) {
  const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  if (plain) event.preventDefault();
  return plain;
}
