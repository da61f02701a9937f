"use strict";
// The two views of the atlas: which of them is on the page, and going from one to the other.

/**
 * Whether the atlas has tiles for the view, and no whole picture stands in their place.
 * @param {PageState} view
 */
const tiled = (view) =>
  hasTiles(view.layer) &&
  !seriesOf("top9").some(
    (pictures) => layerOf(pictures) === view.layer && pictures.frames.some((frame) => frame.epoch === view.epoch),
  );

/** @param {HTMLElement} holder */
function mapView(holder) {
  const panels = query(".panels", HTMLElement, holder);
  const [first, second] = [panel(panels), panel(panels)];
  const [strip, otherStrip, curve] = [
    stripView(byId("strip")),
    stripView(byId("otherstrip")),
    curveView(byId("curve")),
  ];
  return (/** @type {PageState} */ view, /** @type {Side[]} */ sides) => {
    const map = Number(view.map);
    const [side, besideSide] = sides;
    fillHead(side.layer, view, map);
    panels.classList.toggle("two", sides.length > 1);
    fillPanel(first, side, map, sides.length > 1);
    second.box.hidden = sides.length < 2;
    const partner = partners(sides, view.sort).get(map);
    if (besideSide) fillPanel(second, besideSide, partner, true);
    for (const id of ["overtime", "curve"]) byId(id).hidden = epochs.length < 2;
    if (epochs.length < 2) return;
    strip(side.layer, map, view.epoch);
    const otherMap = besideSide && besideSide.run !== own && !besideSide.layer.partners ? partner : undefined;
    query("#overtime .several").hidden = byId("otherstrip").hidden = otherMap === undefined;
    if (otherMap !== undefined) otherStrip(besideSide.layer, otherMap, view.epoch);
    curve(sides, [map, partner], view.epoch);
  };
}

/**
 * Fills the title of the map view and its buttons to the maps before and after.
 * @param {AtlasLayer} layer
 * @param {PageState} view
 * @param {number} map
 */
function fillHead(layer, view, map) {
  const maps = chosenMaps(layer, view);
  const place = maps.indexOf(map);
  byId("maptitle").textContent = `${layer.name} map ${map}`;
  fillStep("before", maps[place - 1], "‹ ", "");
  fillStep("after", maps[place + 1], "", " ›");
  byId("back").textContent = `‹ all of ${layer.name}`;
}

/**
 * @param {string} id of the button
 * @param {number | undefined} map
 * @param {string} before
 * @param {string} after
 */
function fillStep(id, map, before, after) {
  const button = byId(id, HTMLButtonElement);
  button.disabled = map === undefined;
  button.dataset.map = map === undefined ? "" : String(map);
  button.textContent = map === undefined ? before + after : `${before}map ${map}${after}`;
}

// ---------------------------------------------------------------- from one view to the other

/** @type {ReturnType<typeof tilesView> | null} */
let tiles = null;
let arriving = false; // the next picture of the map view takes the focus
/**
 * What the layer view takes over from the map view, and the map that was open.
 * @type {{values: Partial<PageState>, closed: number} | null}
 */
let leaving = null;

/**
 * @param {number} map
 * @param {string | null} [layer]
 */
function openMap(map, layer = state.layer) {
  state.layer = layer;
  remember(); // the way back leads to all maps of this layer
  history.pushState({ opened: true }, "", addressOf({ map }));
  arriving = true;
  change({ map, rank: null });
}

function closeMap() {
  const { map, epoch, beside, sort, part, show } = state;
  if (map === null) return;
  leaving = { values: { epoch, beside, sort, part, show }, closed: map };
  if (history.state?.opened)
    history.back(); // goes on when the address has changed
  else leaveMap();
}

async function leaveMap() {
  if (!leaving) return;
  const { values, closed } = leaving;
  leaving = null;
  await change({ ...values, map: null, rank: null });
  tiles?.focus(closed);
}

/**
 * Goes to the next map, or in the layer view to the next card.
 * @param {1 | -1} by
 */
function stepMap(by) {
  if (state.map === null) {
    tiles?.step(by);
    return;
  }
  const map = byId(by < 0 ? "before" : "after").dataset.map;
  if (map) change({ map: Number(map), rank: null });
}

// ---------------------------------------------------------------- everything together

/**
 * @param {Side} first
 * @param {Side | MissingSide | undefined} second
 */
function besideWords(first, second) {
  if (!second) return "";
  if ("problem" in second) return second.problem;
  if (second.run === own) return "";
  if (second.layer.partners)
    return `Beside it: ${second.title}, each map's match there. r: their correlation; its nine are among the images compared.`;
  const words = haveSameMaps(first.layer, second.layer)
    ? "the maps of the same number"
    : "it shows other maps, here in the same order";
  const command = own?.atlas.beside.find((run) => run.folder === runBeside(state.beside))?.command;
  const search = command ? `. Which maps match is not known yet; to find out, type ${command}` : ".";
  return `Beside it: ${second.title}; ${words}${search}`;
}

/**
 * @param {PageState} view
 * @param {(Side | MissingSide)[]} sides
 * @param {{tiles: ReturnType<typeof tilesView>, map: ReturnType<typeof mapView>}} views
 */
function showScene(view, [first, second], views) {
  const missing = "problem" in first;
  const single = !missing && view.map !== null && first.layer.shown.includes(view.map);
  const words = missing ? first.problem : joined([!single && tally(first, view.part), besideWords(first, second)], " ");
  byId("tally").textContent = words;
  byId("tally").hidden = !words;
  byId("features").classList.toggle("single", single);
  byId("tiles").hidden = single || missing;
  byId("map").hidden = !single;
  if (missing) return;
  const sides = !second || "problem" in second ? [first] : [first, second];
  if (single) views.map(view, sides);
  else views.tiles.show(view, sides);
  if (arriving && single) {
    byId("features").scrollIntoView();
    byId("maptitle").focus({ preventScroll: true });
  }
  arriving = false;
}

/**
 * Returns what draws the state of the page. Draws one scene at a time and always the newest: a slider that is dragged
 * skips what cannot be drawn in time.
 * @returns {() => Promise<void>}
 */
function setUpAtlas() {
  if (!own) return async () => {};
  tiles = tilesView(byId("tiles"));
  const views = { tiles, map: mapView(byId("map")) };
  setUpOptions();
  let again = false;
  /** @type {Promise<void> | null} */
  let busy = null;
  const draw = async () => {
    while (again) {
      again = false;
      const view = { ...state };
      byId("atlas").hidden = query(".oftiles").hidden = !tiled(view);
      if (byId("atlas").hidden) continue;
      const sides = await sidesOf(view);
      showScene(view, sides, views);
      if (moved) loadAhead(sides);
    }
  };
  return () => {
    again = true;
    busy ??= draw().finally(() => {
      busy = null;
    });
    return busy;
  };
}

/**
 * Loads the next frames, once someone moves through them.
 * @param {(Side | MissingSide)[]} sides
 */
function loadAhead(sides) {
  for (const side of sides) {
    if ("problem" in side) continue;
    const { frames, run } = side.layer;
    for (const frame of frames.slice(side.at + 1, side.at + 3)) load(run.report + frame.source);
  }
}

function setUpOptions() {
  const sort = byId("sort", HTMLSelectElement);
  const buttons = queryAll("#show button", HTMLButtonElement);
  const stability = query("[value=stability]", HTMLOptionElement, sort);
  const refresh = () => {
    if (epochs.length < 2) stability.remove();
    else if (!stability.parentNode) sort.insertBefore(stability, query("[value=dead]", HTMLElement, sort));
  };
  refresh();
  refreshers.push(refresh);
  sort.addEventListener("change", () => change({ sort: sort.value || null }));
  for (const button of buttons) button.addEventListener("click", () => change({ show: button.value || null }));
  setUpParts();
  byId("before").addEventListener("click", () => stepMap(-1));
  byId("after").addEventListener("click", () => stepMap(1));
  byId("back").addEventListener("click", closeMap);
  followers.push(() => {
    sort.value = state.sort ?? "";
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.value === (state.show ?? "")));
  });
}
