"use strict";
// A panel of the map view: nine projections with their patches, large; next to them the whole image of one of them with
// the box that its unit sees, and the classes of the nine.

/** @typedef {{button: HTMLButtonElement, canvas: HTMLCanvasElement, kind: TileKind, rank: number}} RankTile */
/** @typedef {ReturnType<typeof wholeImage>} WholeImage */

/**
 * A panel. hovered: the rank under the pointer. scene: what the panel shows.
 * @typedef {{
 *   box: HTMLElement, when: HTMLElement, dead: HTMLElement, facts: HTMLElement, nothing: HTMLElement,
 *   body: HTMLElement, ruleHead: HTMLElement, tiles: RankTile[], whole: WholeImage, classes: HTMLElement,
 *   hovered: number | null, scene: {side: Side, map: number, top: TopImages} | null,
 * }} Panel
 */

/**
 * @param {number} part
 * @param {number} whole
 */
const percentage = (part, whole) => `${(100 * part) / whole}%`;

/**
 * @param {Element} holder
 * @returns {Panel}
 */
function panel(holder) {
  const box = html("div", { class: "panel" }, holder);
  const head = html("p", { class: "head" }, box);
  const when = html("b", { class: "when" }, head);
  const dead = html("span", { class: "dead" }, head, "✕ dead");
  const facts = html("span", { class: "said" }, head);
  const nothing = html("p", { class: "nothing" }, box);
  const body = html("div", { class: "body" }, box);
  const look = (/** @type {number | null} */ rank, /** @type {boolean} */ keep) => {
    parts.hovered = keep ? null : rank;
    if (keep && rank !== (state.rank ?? 0)) {
      state.rank = rank || null;
      remember();
    }
    showRank(parts);
  };
  const projections = nineTiles(body, "projections", "projections", look);
  const patches = nineTiles(body, "patches", "image patches", look);
  const whole = wholeImage(body);
  const classes = html("div", { class: "classes" }, body);
  const tiles = [...projections.tiles, ...patches.tiles];
  const ruleHead = projections.head;
  /** @type {Panel} */
  const parts = { box, when, dead, facts, nothing, body, ruleHead, tiles, whole, classes, hovered: null, scene: null };
  return parts;
}

/**
 * Nine tiles that can be looked at: hover shows their image for as long, a click or the focus keeps it.
 * @param {Element} holder
 * @param {TileKind} kind
 * @param {string} title
 * @param {(rank: number | null, keep: boolean) => void} look
 */
function nineTiles(holder, kind, title, look) {
  const group = html("div", { class: "group" }, holder);
  const head = html("h4", {}, group, title);
  const nine = html("div", { class: "nine" }, group);
  nine.addEventListener("pointerleave", () => look(null, false));
  const tiles = Array.from({ length: 9 }, (_, rank) => {
    const button = html("button", { type: "button", class: "rank" }, nine);
    const canvas = html("canvas", { role: "img" }, button);
    button.addEventListener("pointerenter", (event) => {
      if (event.pointerType === "mouse") look(rank, false);
    });
    button.addEventListener("click", () => look(rank, true));
    button.addEventListener("focus", () => {
      if (button.matches(":focus-visible")) look(rank, true);
    });
    return { button, canvas, kind, rank };
  });
  return { head, tiles };
}

/**
 * @param {Panel} parts
 * @param {Side} side
 * @param {number | undefined} map
 * @param {boolean} two whether another panel stands next to this one
 */
function fillPanel(parts, side, map, two) {
  const state = mapState(side.layer, side.at, map);
  const { alive, strength, overlap } = state;
  const number = side.run !== own && map !== undefined && `map ${map}`;
  const facts = [
    isPresent(strength) && `strength ${valueText(strength)}`,
    isPresent(overlap) && `${percentText(overlap)} of its images stayed`,
    labelWords(side.layer, map),
  ];
  const when = isPresent(side.frame.epoch) ? ` at epoch ${side.frame.epoch}` : "";
  parts.when.textContent = two ? joined([side.words, number, matchWords(side.layer, map)], ", ") : "";
  parts.dead.hidden = !state.dead;
  parts.facts.textContent = alive ? joined(facts, " · ") : "";
  parts.nothing.textContent = state.dead ? `No image excites it${when}.` : alive ? "" : "This map is not shown there.";
  parts.nothing.hidden = alive;
  parts.body.hidden = !alive;
  if (!alive || map === undefined) {
    parts.scene = null;
    return;
  }
  parts.scene = { side, map, top: state.top };
  const rule = side.frame.sheet.rule ?? "";
  parts.ruleHead.textContent = joined(["projections", rule && `by ${rule.split(" ")[0]}`], " ");
  parts.ruleHead.title = rule;
  for (const { button, canvas, kind, rank } of parts.tiles) {
    drawTiles(canvas, side, map, kind, rank, rank + 1);
    button.disabled = rank >= state.count;
    canvas.setAttribute("aria-label", tileWords(side, map, state.top, rank, kind));
  }
  fillClasses(parts.classes, side, state.top);
  showRank(parts);
}

/**
 * @param {Side} side
 * @param {number} map
 * @param {TopImages} top
 * @param {number} rank
 * @param {TileKind} kind
 */
function tileWords(side, map, top, rank, kind) {
  const label = imageOf(side.run, top.image[rank])?.label ?? (rank < top.image.length ? "class unknown" : "");
  const name = kind === "patches" ? "image patch" : "projection";
  return joined([`${side.layer.name} map ${map}`, side.words, `rank ${rank + 1}`, label, name], ", ");
}

/**
 * @param {HTMLElement} holder
 * @param {Side} side
 * @param {TopImages} top
 */
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
