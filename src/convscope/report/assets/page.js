"use strict";
// Moves the page. Its state decides what is on it, and stands in the address:
// #layer=conv3&epoch=7&map=12&rank=2&sort=strength&part=eyes&show=patches&beside=epoch:2, or beside=run:<folder>.
// Where a run has no atlas, whole pictures are compared: #layer=conv3&epoch=7&compare=1

/**
 * beside: "epoch:<number>" or "run:<folder>". sort: a key of ORDERS. part: whose detectors are on the page, null for
 * all maps. show: a TileKind, null for both.
 * @typedef {{
 *   layer: string | null, epoch: number | null, map: number | null, rank: number | null, sort: string | null,
 *   part: string | null, show: string | null, beside: string | null,
 * }} PageState
 */

/** @type {Pick<RunData, "series" | "metrics">} */
const { series, metrics } = window.DATA ?? { series: [], metrics: {} };

/** @param {string} prefix */
const seriesOf = (prefix) => series.filter((pictures) => pictures.name.startsWith(`${prefix}/`));
/** @param {PictureSeries} pictures */
const layerOf = (pictures) => pictures.layer || pictures.name.split("/").slice(1).join("/");

const layers = [
  ...new Set([...(own?.atlas.layers ?? []).map((layer) => layer.name), ...seriesOf("top9").map(layerOf)]),
];
/** @type {number[]} */
const epochs = [];
let last = /** @type {number | null} */ (null);
function readEpochs() {
  const frameEpochs = series.flatMap((pictures) => pictures.frames.map((frame) => frame.epoch));
  const shown = new Set([...(own?.atlas.epochs ?? []), ...frameEpochs].filter(isPresent));
  epochs.splice(0, epochs.length, ...[...shown].sort((a, b) => a - b));
  last = epochs[epochs.length - 1] ?? null;
}
readEpochs();
const middle = layers[Math.floor((layers.length - 1) / 2)] ?? null; // parts of things: neither edges nor whole classes
/** @type {PageState} */
const state = { layer: middle, epoch: last, map: null, rank: null, sort: null, part: null, show: null, beside: null };
let moved = false; // whether anyone has moved anything: only then the next pictures are loaded ahead
/**
 * What to call when the state has changed.
 * @type {(() => void | Promise<void>)[]}
 */
const followers = [];
/**
 * What to call when the data have changed, as those of a run that goes on do.
 * @type {(() => void)[]}
 */
const refreshers = [];

// ---------------------------------------------------------------- state and address

/** @param {Partial<PageState>} values */
async function change(values) {
  moved ||= Object.keys(values).length > 0;
  Object.assign(state, values);
  if (playing === null) remember(); // browsers limit how often the address may change
  await Promise.all(followers.map((follow) => follow()));
}

function remember() {
  if (layers.length || series.length) history.replaceState(history.state, "", addressOf({}));
}

/**
 * The address of the state with other values.
 * @param {Partial<PageState>} values
 */
function addressOf(values) {
  const words = new URLSearchParams();
  const { beside, ...rest } = { ...state, ...values };
  for (const [key, value] of Object.entries(rest)) if (value !== null) words.set(key, String(value));
  if (beside !== null && own) words.set("beside", beside);
  else if (beside !== null) words.set("compare", String(epochBeside(beside)));
  return `#${String(words).replaceAll("%3A", ":")}`;
}

// What an address leaves out is as at first; an address of another kind, such as a section's, changes nothing.
function recall() {
  const words = new URLSearchParams(location.hash.slice(1));
  if (!["layer", "epoch", "beside"].some((key) => words.has(key))) return;
  const oneOf = (/** @type {string} */ key, /** @type {string[]} */ possible) =>
    possible.find((value) => value === words.get(key)) ?? null;
  const numberOf = (/** @type {string} */ key, /** @type {number[]} */ possible) =>
    possible.find((value) => /^\d+$/.test(words.get(key) ?? "") && value === Number(words.get(key))) ?? null;
  state.layer = oneOf("layer", layers) ?? state.layer;
  state.epoch = numberOf("epoch", epochs) ?? state.epoch;
  state.map = numberOf("map", own?.atlas.layers.find((layer) => layer.name === state.layer)?.shown ?? []);
  state.rank = state.map === null ? null : numberOf("rank", [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  state.sort = oneOf("sort", Object.keys(ORDERS));
  state.part = oneOf("part", own?.atlas.parts ?? []);
  state.show = oneOf("show", ["projections", "patches"]);
  if (!words.has("beside") && words.has("compare")) words.set("beside", `epoch:${words.get("compare")}`);
  const folder = /^run:(?!\.)[^/\\]+$/.test(words.get("beside") ?? "") && own ? words.get("beside") : null;
  state.beside =
    oneOf(
      "beside",
      epochs.map((epoch) => `epoch:${epoch}`),
    ) ?? folder;
}

/**
 * Goes to the shown epoch nearest to one of the curves'.
 * @param {number} epoch
 */
function goToNearest(epoch) {
  if (epochs.length) change({ epoch: epochs[nearestPlace(epochs, epoch)] });
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  const target = event.target instanceof Element ? event.target : document.body;
  if (event.altKey || event.ctrlKey || event.metaKey || target.closest("input, select, textarea, .wide")) return;
  const { key } = event;
  const layer = /^[1-9]$/.test(key) ? layers[Number(key) - 1] : undefined;
  if (["ArrowLeft", "ArrowRight"].includes(key) && epochs.length) stepEpoch(key === "ArrowLeft" ? -1 : 1);
  else if (key === " " && epochs.length > 1 && !target.closest("button, a:not(.card), summary")) play();
  else if (layer !== undefined) change({ layer, map: null, rank: null });
  else if (/^[jk]$/.test(key) && tiled(state)) stepMap(key === "j" ? 1 : -1);
  else if (key === "Escape" && state.map !== null) closeMap();
  else return;
  event.preventDefault();
}

// ---------------------------------------------------------------- sections, start

function setUpSections() {
  for (const link of queryAll("nav a", HTMLAnchorElement)) {
    const section = document.getElementById(link.dataset.section ?? "");
    const show = () => {
      link.hidden = !section || section.hidden;
    };
    show();
    refreshers.push(show);
    if (!section || (!layers.length && !series.length)) continue; // nothing moves: the address is the section's
    section.tabIndex = -1;
    link.addEventListener("click", (event) => {
      event.preventDefault();
      section.scrollIntoView();
      section.focus({ preventScroll: true }); // the next Tab goes on from there
    });
  }
}

const WITH_PLACES = /^(top9|evolution|filters)\/|^(settling|curves)$/;
setUpTheme();
byId("features").hidden = !own && series.every((pictures) => /^(settling|curves)$/.test(pictures.name));
recall();
const [visit] = performance.getEntriesByType("navigation");
// a link to a map leads to it
arriving = state.map !== null && !(visit instanceof PerformanceNavigationTiming && visit.type === "reload");
followers.push(
  setUpLayers(),
  setUpEpochs(),
  setUpTop9(),
  setUpAtlas(),
  setUpCharts(),
  setUpFollowing("growth", () => seriesOf("evolution").filter((pictures) => layerOf(pictures) === state.layer)),
  setUpFollowing("filters", () => seriesOf("filters")),
  setUpFollowing("more", () => series.filter((pictures) => !WITH_PLACES.test(pictures.name))),
  setUpPresentation(),
  setUpDownloads(),
);
setUpSections();
byId("play").addEventListener("click", play);
document.addEventListener("keydown", onKey);
addEventListener("hashchange", () => {
  const closed = leaving !== null && !/[#&]map=/.test(location.hash); // Escape from a map: what it showed stays
  recall();
  if (closed) {
    leaveMap();
    return;
  }
  leaving = null;
  change({});
});
addEventListener("load", () => followers.forEach((follow) => follow()), { once: true }); // also loads the neighbors
change({});
