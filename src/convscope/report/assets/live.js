"use strict";
// Follows a run that goes on. Its process writes status.js every few seconds; a script can be loaded from disk again and
// again, without a server. When the page was written anew, what changed in it is put in: what is looked at stays.

const POLL_MILLISECONDS = 3000;
const SLOW_MILLISECONDS = 30000; // for a run that gives no sign of life: it may be resumed
const SURE_MILLISECONDS = 15000; // after so long a run is silent; before, the clock of its machine may be behind

/** When the data that are shown were written. */
let pageShown = window.DATA?.written ?? 0;
/**
 * The html of the parts of the page that were put in anew.
 * @type {Map<HTMLElement, string>}
 */
const partTexts = new Map();
/** The newest sign of life, and when this page saw it: clocks of two machines may differ. */
const sign = { beat: 0, at: 0 };

/**
 * Loads a script anew.
 * @template Result
 * @param {string} source
 * @param {() => Result} take returns what the script left
 * @returns {Promise<Result | null>} null where the script cannot be loaded
 */
async function loadAgain(source, take) {
  const address = `${source}?${Date.now()}`;
  const result = await loadScript(address, take);
  scripts.delete(address);
  return result;
}

// ---------------------------------------------------------------- the state of the run

/**
 * Whether the run has been silent for so long that its process is taken for dead.
 * @param {LiveStatus} status
 */
function isSilent(status) {
  const now = Date.now() / 1000;
  if (status.beat !== sign.beat) Object.assign(sign, { beat: status.beat, at: sign.beat ? now : status.beat });
  return status.state === "running" && now - sign.at > status.silent;
}

/** @param {LiveStatus} status */
function stateWords(status) {
  if (!isSilent(status)) return status.words;
  const when = new Date(1000 * status.beat).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
  return `stopped? The last sign of life was on ${when}`;
}

/** @param {LiveStatus} status */
function showState(status) {
  const holder = query("[data-part=state]");
  const words = stateWords(status);
  const line = holder.querySelector(".state") ?? html("span", {}, holder);
  if (line.textContent !== words) line.textContent = words;
  line.className = joined(["state", !isSilent(status) && /^(running|finished)$/.test(status.state) && "running"], " ");
}

// ---------------------------------------------------------------- what has changed

/**
 * Puts a part of the page in anew. What is unfolded in it stays so, the focus and what is scrolled stay where they are.
 * @param {HTMLElement} holder
 * @param {string} text its html
 * @returns {boolean} whether it has changed
 */
function replacePart(holder, text) {
  if (partTexts.get(holder) === text) return false;
  partTexts.set(holder, text);
  const next = document.createElement("template");
  next.innerHTML = text;
  if (next.innerHTML === holder.innerHTML) return false;
  const unfolded = [...holder.querySelectorAll("details")].filter((part) => part.open).map(titleOf);
  for (const part of next.content.querySelectorAll("details")) part.open = unfolded.includes(titleOf(part));
  const places = [...holder.querySelectorAll("a, summary, button")];
  const focused = places.findIndex((element) => element === document.activeElement);
  const scrolled = [...holder.querySelectorAll(".wide, pre")].map((part) => [part.scrollLeft, part.scrollTop]);
  holder.replaceChildren(next.content);
  for (const [number, part] of holder.querySelectorAll(".wide, pre").entries())
    [part.scrollLeft, part.scrollTop] = scrolled[number] ?? [0, 0];
  const again = holder.querySelectorAll("a, summary, button")[focused];
  if (focused >= 0 && again instanceof HTMLElement) again.focus({ preventScroll: true });
  return true;
}

/** @param {Element} details */
const titleOf = (details) => details.querySelector("summary")?.textContent ?? "";

/**
 * Puts new data in the place of those of the page. A page that stands at the last epoch goes on with it.
 * @param {RunData} data
 * @param {number} version
 */
async function takeData(data, version) {
  const follows = state.epoch === last && playing === null;
  series.splice(0, series.length, ...data.series);
  for (const column of Object.keys(metrics)) delete metrics[column];
  Object.assign(metrics, data.metrics);
  Object.assign(COLUMN_WORDS, data.words);
  if (own && data.atlas) {
    for (const layer of data.atlas.layers) layer.script += `?${version}`;
    Object.assign(own, { atlas: data.atlas, places: undefined });
  }
  scripts.clear(); // of the layers as they were
  readEpochs();
  if (follows) state.epoch = last;
  refreshers.forEach((refresh) => refresh());
  if (follows && layers.length && state.epoch !== null) remember();
  await Promise.all(followers.map((follow) => follow()));
}

/**
 * Whether the new data need all of the page anew: there are maps for the first time, or other sections.
 * @param {RunData} data
 * @param {Record<string, string>} parts
 */
function isOther(data, parts) {
  const names = data.atlas?.layers.map((layer) => layer.name) ?? [];
  const before = own?.atlas.layers.map((layer) => layer.name) ?? [];
  const structure = document.body.dataset.structure;
  return (
    String(names) !== String(before) || parts.structure !== structure || (!series.length && data.series.length > 0)
  );
}

/** @param {number} version */
async function takePage(version) {
  const data = await loadAgain(`data.js`, () => {
    const loadedData = window.DATA;
    window.DATA = OWN_DATA;
    return loadedData;
  });
  const parts = await loadAgain("parts.js", () => window.PARTS);
  if (!data || !parts) return;
  await released();
  if (isOther(data, parts)) {
    const follows = layers.length > 0 && state.epoch === last; // an address without epoch is at the last one
    if (follows) history.replaceState(history.state, "", addressOf({ epoch: null }));
    location.reload(); // the address holds what is looked at
    return;
  }
  for (const holder of queryAll("[data-part]")) {
    const { part = "" } = holder.dataset;
    if (replacePart(holder, parts[part] ?? "") && part === "answer") setUpStories();
  }
  await takeData(data, version);
  pageShown = version;
}

// ---------------------------------------------------------------- again and again

async function follow() {
  const status = (await loadAgain("status.js", () => window.STATUS)) ?? null;
  if (status) {
    const over = status.state !== "running";
    if (status.page !== pageShown || over) await takePage(status.page);
    showState(status);
    if (over) return;
  }
  const slow = document.hidden || (status !== null && isSilent(status) && performance.now() > SURE_MILLISECONDS);
  setTimeout(follow, slow ? SLOW_MILLISECONDS : POLL_MILLISECONDS);
}

if ("live" in document.body.dataset) follow();
