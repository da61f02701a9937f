"use strict";
// The atlas: what stands where on the packed sheets, loaded as it is needed. A run is {title, report, atlas}, a layer what
// its script says beside its entry in the atlas, a side one layer of one run at one epoch with its sheet, ready to draw.

const OWN_DATA = window.DATA;
const own = { title: "this run", report: "", atlas: OWN_DATA?.atlas ?? null };

// ---------------------------------------------------------------- runs and layers

const scripts = new Map(); // address -> promise of what the script left, null where it cannot be loaded
function script(source, taken) {
  if (!scripts.has(source))
    scripts.set(source, new Promise((resolve) => {
      const element = html("script", { src: source });
      element.addEventListener("load", () => { resolve(taken()); element.remove(); }); // before any other script can run
      element.addEventListener("error", () => { resolve(null); element.remove(); });
      document.head.append(element);
    }));
  return scripts.get(source);
}

function runNamed(folder) {
  const entry = own.atlas.beside.find((each) => each.folder === folder);
  if (!entry) return Promise.resolve(null);
  return script(`${entry.report}data.js`, () => {
    const found = window.DATA?.atlas;
    window.DATA = OWN_DATA;
    return found ? { title: entry.title, report: entry.report, atlas: found } : null;
  });
}

function layerOfRun(run, name) {
  const entry = run.atlas.layers.find((each) => each.name === name);
  if (!entry) return Promise.resolve(null);
  return script(run.report + entry.script, () => {
    const found = window.ATLAS?.[name];
    if (found) delete window.ATLAS[name]; // another run has layers of the same names
    return found ? { ...entry, ...found, run } : null;
  });
}

// ---------------------------------------------------------------- sides

const hasTiles = (name) => Boolean(own.atlas?.layers.some((each) => each.name === name));
const epochBeside = (beside) => (beside?.startsWith("epoch:") ? Number(beside.slice(6)) : null);
const runBeside = (beside) => (beside?.startsWith("run:") ? beside.slice(4) : null);
const epochWords = (epoch) => (known(epoch) ? `epoch ${epoch}` : "");

// The place of the frame to show at an epoch: the last one up to it, else the first.
const placeAt = (layer, epoch) => Math.max(0, layer.frames.findLastIndex((frame) => !known(frame.epoch) || frame.epoch <= epoch));

async function sideOf(run, name, epoch) {
  const layer = run && (await layerOfRun(run, name));
  if (!layer?.frames.length) return { title: run?.title ?? "", problem: run ? `${run.title} shows no maps of ${name}.` : "That run cannot be read." };
  const at = placeAt(layer, epoch), frame = layer.frames[at];
  return { title: run.title, run, layer, at, frame, image: await load(run.report + frame.source) };
}

// What is to be seen in a state of the page: its own side, and the one beside it.
async function sidesOf(view) {
  const before = epochBeside(view.beside), folder = runBeside(view.beside);
  const sides = [sideOf(own, view.layer, view.epoch)];
  if (before !== null) sides.push(sideOf(own, view.layer, before));
  if (folder !== null) sides.push(runNamed(folder).then((run) => sideOf(run, view.layer, view.epoch)));
  const found = await Promise.all(sides);
  for (const side of found) {
    const when = epochWords(side.frame?.epoch);
    side.words = folder === null ? when : [side === found[0] ? own.title : "other run", when].filter(Boolean).join(", ");
  }
  return found;
}

// ---------------------------------------------------------------- one map

// What a layer says of a map at its frame `at`. count: how many of the nine there are; top: which images, with their
// scores, fewer where the record of the epoch is gone; strength: null where it is.
function told(layer, at, map) {
  const place = layer.frames[at].sheet.maps.indexOf(map), top = layer.top[at]?.[place] ?? NO_TOP;
  const count = layer.frames[at].sheet.count[place] ?? 0, dead = place >= 0 && count === 0;
  return { shown: place >= 0, alive: count > 0, dead, count, top, strength: top.score[0] ?? (dead ? 0 : null), kept: layer.kept[at]?.[place] ?? null };
}
const NO_TOP = { image: [], score: [], row: [], col: [] };

// Where the image of an index stands on the sheets of thumbnails, its class and its file name; undefined where on none.
function imageOf(run, index) {
  run.places ??= new Map(run.atlas.sheets.flatMap((sheet) => sheet.images.map((image, at) => [image, {
    source: run.report + sheet.source, side: sheet.tile, name: sheet.names[at],
    x: (at % sheet.columns) * sheet.tile, y: Math.floor(at / sheet.columns) * sheet.tile,
    label: run.atlas.classes[sheet.labels[at]] ?? `class ${sheet.labels[at]}`,
  }])));
  return run.places.get(index);
}

// The classes of a map's images, most frequent first: [[name, how many]].
function classesOf(run, top) {
  const counts = new Map();
  for (const image of top.image) {
    const label = imageOf(run, image)?.label ?? "unknown";
    counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  return [...counts].sort(([a, many], [b, more]) => more - many || a.localeCompare(b));
}

// The pixels that a unit sees, [left, top, right, bottom] of the image; the whole image where its field is null; null
// where it is not known, as in a run that is not finished.
function boxOf(layer, row, col) {
  const input = layer.run.atlas.input, field = layer.field;
  if (field === undefined || !known(input)) return null;
  if (field === null) return [0, 0, input, input];
  const low = (place) => field.start + field.stride * place;
  return [low(col), low(row), low(col) + field.size, low(row) + field.size];
}

// The part of that box that its tile shows, which is cut to where the projection has its energy; null where it is all.
function cutOf(frame, map, rank, edges) {
  const [side, corners] = frame.sheet.cuts?.[frame.sheet.maps.indexOf(map)] ?? [], corner = corners?.[rank];
  if (!corner || !edges || side >= edges[2] - edges[0]) return null;
  const [top, left] = [edges[1] + corner[0], edges[0] + corner[1]];
  return [left, top, left + side, top + side];
}

// ---------------------------------------------------------------- drawing

// Draws tiles `from` to `to` of a map, "projections" or "patches", three in a row, without the gaps' paper.
function drawTiles(canvas, side, map, kind, from = 0, to = 9) {
  const { sheet } = side.frame, place = sheet.maps.indexOf(map), { tile, step } = sheet;
  const across = to - from > 1 ? tile + 2 * step : tile;
  if (canvas.width !== across) canvas.width = canvas.height = across;
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, across, across);
  if (place < 0 || !side.image.naturalWidth) return;
  const [x, y] = sheet[kind][place];
  for (let k = from; k < Math.min(to, sheet.count[place]); k++) {
    const at = k - from;
    pen.drawImage(side.image, x + (k % 3) * step, y + Math.floor(k / 3) * step, tile, tile, (at % 3) * step, Math.floor(at / 3) * step, tile, tile);
  }
}
