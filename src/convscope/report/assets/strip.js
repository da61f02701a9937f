"use strict";
// A map over the epochs: its strongest projection at every shown epoch, and the curve of its scores.

/**
 * @typedef {{
 *   button: HTMLButtonElement, canvas: HTMLCanvasElement, frame: GridFrame, at: number, drawn: boolean,
 * }} StripCell
 */

const MOST_STRIPS = 400; // in memory; the oldest go when there are more
const STRIP_COLUMNS = 8; // of a strip that is cut from a grid

/**
 * The strongest projection of each map of a layer at one epoch, in reading order.
 * @typedef {{canvas: HTMLCanvasElement, tile: number, columns: number, maps: number[]}} Strip
 */

/**
 * By the source of the picture.
 * @type {Map<string, Strip>}
 */
const strips = new Map();

/**
 * The strip of an epoch. A run without strips has them in its grids, which are large: each is cut for all its maps at
 * once and only the strip stays.
 * @param {AtlasLayer} layer
 * @param {GridFrame} frame
 */
async function stripOf(layer, frame) {
  const address = layer.run.report + (frame.strip ?? frame).source;
  const before = strips.get(address);
  if (before) return before;
  const image = await load(address);
  const strip = frame.strip ? copied(image, frame.strip) : cutFromGrid(image, frame.sheet);
  strips.set(address, strip);
  if (strips.size > MOST_STRIPS) strips.delete([...strips.keys()][0]);
  return strip;
}

/**
 * @param {HTMLImageElement} image without pixels where it cannot be loaded
 * @param {StripSheet} sheet
 * @returns {Strip}
 */
function copied(image, { tile, columns, maps }) {
  const canvas = html("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  if (image.naturalWidth) penOf(canvas).drawImage(image, 0, 0);
  return { canvas, tile, columns, maps };
}

/**
 * @param {HTMLImageElement} image without pixels where it cannot be loaded
 * @param {TileSheet} sheet
 * @returns {Strip}
 */
function cutFromGrid(image, { tile, maps, count, projections }) {
  const rows = Math.max(1, Math.ceil(maps.length / STRIP_COLUMNS));
  const canvas = html("canvas", { width: tile * STRIP_COLUMNS, height: tile * rows });
  const strip = { canvas, tile, columns: STRIP_COLUMNS, maps };
  const pen = penOf(canvas);
  if (image.naturalWidth)
    projections.forEach(([x, y], place) => {
      const [left, top] = cornerOf(strip, place);
      if (count[place]) pen.drawImage(image, x, y, tile, tile, left, top, tile, tile);
    });
  return strip;
}

/**
 * @param {Strip} strip
 * @param {number} place of the map in it
 */
const cornerOf = ({ tile, columns }, place) => [(place % columns) * tile, Math.floor(place / columns) * tile];

/**
 * A row of cells, one for each epoch, filled at once, so that paper has them too; from large grids when it comes near
 * the window.
 * @param {HTMLElement} holder
 * @returns {(layer: AtlasLayer, map: number, epoch: number | null) => void}
 */
function stripView(holder) {
  let near = false;
  let built = "";
  /** @type {StripCell[]} */
  let cells = [];
  /** @type {{layer: AtlasLayer, map: number} | null} */
  let scene = null;
  let turn = 0; // of the newest filling; an older one stops
  const fill = async () => {
    turn += 1;
    if (!scene || (!near && !scene.layer.frames.every((frame) => frame.strip))) return;
    const { layer, map } = scene;
    const mine = turn;
    const center = placeAt(layer.frames, state.epoch);
    for (const cell of [...cells].sort((a, b) => Math.abs(a.at - center) - Math.abs(b.at - center))) {
      if (cell.drawn || mapState(layer, cell.at, map).dead) continue;
      const strip = await stripOf(layer, cell.frame); // one picture at a time
      if (turn !== mine) return;
      drawCell(cell, strip, map);
    }
  };
  const watcher = new IntersectionObserver(
    (entries) => {
      near = entries[entries.length - 1].isIntersecting;
      fill();
    },
    { rootMargin: "100px" },
  );
  watcher.observe(holder);
  return (layer, map, epoch) => {
    const key = `${layer.run.report} ${layer.name} ${map} ${layer.frames.length}`;
    if (key !== built) {
      built = key;
      scene = { layer, map };
      holder.replaceChildren();
      cells = layer.frames.map((frame, at) => stripCell(holder, layer, map, frame, at));
      fill();
    }
    const at = placeAt(layer.frames, epoch);
    for (const cell of cells) cell.button.toggleAttribute("aria-current", cell.at === at);
    scrollToCenter(holder, cells[at].button);
  };
}

/**
 * @param {Element} holder
 * @param {AtlasLayer} layer
 * @param {number} map
 * @param {GridFrame} frame
 * @param {number} at
 * @returns {StripCell}
 */
function stripCell(holder, layer, map, frame, at) {
  const { dead } = mapState(layer, at, map);
  const words = `${layer.name} map ${map}, ${epochWords(frame.epoch)}${dead ? ", dead" : ""}`;
  const label = layer.run === own ? words : `other run, ${words}`;
  const button = html("button", { type: "button", "aria-label": label }, holder);
  html("span", {}, button, dead ? `${frame.epoch} ✕` : String(frame.epoch));
  const size = { width: frame.sheet.tile, height: frame.sheet.tile };
  const canvas = html("canvas", { ...size, "aria-hidden": "true", class: dead ? "dead" : "" }, button);
  button.addEventListener("click", () => goToNearest(Number(frame.epoch)));
  return { button, canvas, frame, at, drawn: false };
}

/**
 * @param {StripCell} cell
 * @param {Strip} strip
 * @param {number} map
 */
function drawCell(cell, strip, map) {
  const { canvas, tile, maps } = strip;
  const place = maps.indexOf(map);
  const [left, top] = cornerOf(strip, place);
  const side = cell.canvas.width;
  if (place >= 0 && canvas.width) penOf(cell.canvas).drawImage(canvas, left, top, tile, tile, 0, 0, side, side);
  cell.drawn = true;
  cell.canvas.dataset.drawn = "yes";
}

/**
 * Scrolls a row sideways until one of its elements stands in the middle.
 * @param {HTMLElement} holder
 * @param {HTMLElement} element
 */
function scrollToCenter(holder, element) {
  holder.scrollLeft = element.offsetLeft - holder.offsetLeft - (holder.clientWidth - element.clientWidth) / 2;
}

/**
 * The scores of a map's first and ninth image at every shown epoch; with another run beside, the first of that run too.
 * @param {HTMLElement} holder
 * @returns {(sides: Side[], maps: (number | undefined)[], epoch: number | null) => void}
 */
function curveView(holder) {
  let built = "";
  /** @type {(epoch: number) => void} */
  let move = () => {};
  return (sides, maps, epoch) => {
    const curves = sides.flatMap((side, at) => {
      const map = maps[at];
      return map !== undefined && (at === 0 || side.run !== sides[0].run) ? [{ layer: side.layer, map }] : [];
    });
    const key = JSON.stringify(
      curves.map(({ layer, map }) => [layer.run.report, layer.name, map, layer.frames.length]),
    );
    if (key !== built) {
      holder.replaceChildren();
      move = drawScores(holder, curves);
    }
    built = key;
    if (epoch !== null) move(epoch);
  };
}

/**
 * @param {HTMLElement} holder
 * @param {{layer: AtlasLayer, map: number}[]} curves of this run, and of the other
 * @returns {(epoch: number) => void}
 */
function drawScores(holder, [first, second]) {
  const frames = [first, second].flatMap((curve) => curve?.layer.frames ?? []);
  const when = [...new Set(frames.map((frame) => frame.epoch).filter(isPresent))].sort((a, b) => a - b);
  const lines = [
    { name: "strongest", number: 0, values: scoresOf(first, when, 0) },
    { name: "ninth", number: 1, values: scoresOf(first, when, 8) },
  ];
  if (second) lines.push({ name: "other run", number: 2, values: scoresOf(second, when, 0) });
  const drawn = lines.filter((line) => line.values.some(isPresent));
  if (!drawn.length) return () => {};
  return chart(holder, { title: "Scores of its images", lines: drawn }, when, goToNearest);
}

/**
 * @param {{layer: AtlasLayer, map: number}} curve
 * @param {number[]} when
 * @param {number} rank
 * @returns {Column}
 */
const scoresOf = ({ layer, map }, when, rank) =>
  when.map((epoch) => {
    const at = layer.frames.findIndex((frame) => frame.epoch === epoch);
    if (at < 0) return null;
    const { top, dead } = mapState(layer, at, map);
    return top.score[rank] ?? (dead && rank === 0 ? 0 : null);
  });
