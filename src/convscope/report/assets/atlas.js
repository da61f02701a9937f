"use strict";
// The atlas: what stands where on the packed sheets, loaded as it is needed.

/**
 * A run that has an atlas. report: its report folder as seen from this page. places: where its thumbnails stand.
 * @typedef {{title: string, report: string, atlas: AtlasOverview, places?: Map<number, Thumbnail>}} AtlasRun
 *
 * A layer of a run with its record. strongest: the highest score of all epochs.
 * @typedef {LayerOverview & LayerRecord & {run: AtlasRun, strongest?: number}} AtlasLayer
 *
 * A layer at one epoch with its sheet, ready to draw. at: place of the frame. words: which run and epoch.
 * @typedef {{
 *   title: string, words: string, run: AtlasRun, layer: AtlasLayer, at: number, frame: GridFrame,
 *   image: HTMLImageElement,
 * }} Side
 *
 * What stands in the place of a side that cannot be shown.
 * @typedef {{title: string, problem: string}} MissingSide
 */

const OWN_DATA = window.DATA;
const OWN_TITLE = "this run";
/** @type {AtlasRun | null} */
const own = OWN_DATA?.atlas ? { title: OWN_TITLE, report: "", atlas: OWN_DATA.atlas } : null;

// ---------------------------------------------------------------- runs and layers

/** @type {Map<string, Promise<any>>} */
const scripts = new Map();

/**
 * Runs a script once.
 * @template Result
 * @param {string} source
 * @param {() => Result} take returns what the script left
 * @returns {Promise<Result | null>} null where the script cannot be loaded
 */
function loadScript(source, take) {
  const before = scripts.get(source);
  if (before) return before;
  const result = new Promise((resolve) => {
    const element = html("script", { src: source });
    element.addEventListener("load", () => {
      resolve(take()); // before any other script can run
      element.remove();
    });
    element.addEventListener("error", () => {
      resolve(null);
      element.remove();
    });
    document.head.append(element);
  });
  scripts.set(source, result);
  return result;
}

/** The runs that this page can compare with: those that it knows, and the one that its address names. */
function runsBeside() {
  const known = own?.atlas.beside ?? [];
  const folder = runBeside(state.beside);
  if (folder === null || known.some((run) => run.folder === folder)) return known;
  return [...known, { title: folder, folder, report: `../../${encodeURIComponent(folder)}/report/` }];
}

/**
 * The run of a folder that this page can compare with; null where it cannot be read.
 * @param {string} folder
 * @returns {Promise<AtlasRun | null>}
 */
async function loadRun(folder) {
  const entry = runsBeside().find((run) => run.folder === folder);
  if (!entry) return null;
  return loadScript(`${entry.report}data.js`, () => {
    const atlas = window.DATA?.atlas;
    window.DATA = OWN_DATA;
    return atlas ? { title: entry.title, report: entry.report, atlas } : null;
  });
}

/**
 * The run of a folder with its maps of a layer that match those of this run, where they are known; else with its own.
 * @param {string} folder
 * @param {string | null} layer
 * @returns {Promise<AtlasRun | null>}
 */
async function loadBeside(folder, layer) {
  const entry = runsBeside().find((run) => run.folder === folder);
  const matched = entry?.matched;
  if (!entry || !matched?.layers.some((of) => of.name === layer)) return loadRun(folder);
  return { title: entry.title, report: "", atlas: matched };
}

/**
 * @param {AtlasRun} run
 * @param {string | null} name
 * @returns {Promise<AtlasLayer | null>}
 */
async function loadLayer(run, name) {
  const entry = run.atlas.layers.find((layer) => layer.name === name);
  if (!entry) return null;
  return loadScript(run.report + entry.script, () => {
    const record = window.ATLAS?.[entry.name];
    if (window.ATLAS) delete window.ATLAS[entry.name]; // another run has layers of the same names
    return record ? { ...entry, ...record, run } : null;
  });
}

// ---------------------------------------------------------------- sides

/** @param {string | null} name */
const hasTiles = (name) => Boolean(own?.atlas.layers.some((layer) => layer.name === name));
/** @param {string | null} beside */
const epochBeside = (beside) => (beside?.startsWith("epoch:") ? Number(beside.slice(6)) : null);
/** @param {string | null} beside */
const runBeside = (beside) => (beside?.startsWith("run:") ? beside.slice(4) : null);
/** @param {number | null | undefined} epoch */
const epochWords = (epoch) => (isPresent(epoch) ? `epoch ${epoch}` : "");

/**
 * @param {AtlasRun | null} run
 * @param {string | null} name of the layer
 * @param {number | null} epoch
 * @returns {Promise<Side | MissingSide>}
 */
async function sideOf(run, name, epoch) {
  if (!run) return { title: "", problem: "That run cannot be read." };
  const layer = await loadLayer(run, name);
  if (!layer?.frames.length) return { title: run.title, problem: `${run.title} shows no maps of ${name}.` };
  const at = placeAt(layer.frames, epoch);
  const frame = layer.frames[at];
  const image = await load(run.report + frame.source);
  return { title: run.title, words: epochWords(frame.epoch), run, layer, at, frame, image };
}

/**
 * What is to be seen in a state of the page: its own side, and the one beside it.
 * @param {PageState} view
 * @returns {Promise<(Side | MissingSide)[]>}
 */
async function sidesOf(view) {
  const before = epochBeside(view.beside);
  const folder = runBeside(view.beside);
  const sides = [sideOf(own, view.layer, view.epoch)];
  if (before !== null) sides.push(sideOf(own, view.layer, before));
  if (folder !== null) sides.push(loadBeside(folder, view.layer).then((run) => sideOf(run, view.layer, view.epoch)));
  const [first, second] = await Promise.all(sides);
  if (!second) return [first];
  if (folder === null) return [first, second];
  return [withRun(first, OWN_TITLE), withRun(second, "other run")];
}

/**
 * The side with its run before the epoch in its words.
 * @param {Side | MissingSide} side
 * @param {string} run
 * @returns {Side | MissingSide}
 */
const withRun = (side, run) => ("problem" in side ? side : { ...side, words: joined([run, side.words], ", ") });
