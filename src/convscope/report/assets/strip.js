"use strict";
// A map over the epochs: its strongest projection at every shown epoch, and the curve of its scores.

const firsts = new Map(); // source of a sheet -> canvas with the strongest projection of each of its maps in a row

// The sheets are large: one at a time, each cut for all its maps and kept small.
async function firstsOf(layer, frame) {
  const source = layer.run.report + frame.source;
  if (firsts.has(source)) return firsts.get(source);
  const image = await load(source), { sheet } = frame;
  const canvas = document.createElement("canvas");
  canvas.width = sheet.tile * Math.max(1, sheet.maps.length);
  canvas.height = sheet.tile;
  const pen = canvas.getContext("2d");
  if (image.naturalWidth)
    sheet.projections.forEach(([x, y], place) => {
      if (sheet.count[place]) pen.drawImage(image, x, y, sheet.tile, sheet.tile, place * sheet.tile, 0, sheet.tile, sheet.tile);
    });
  firsts.set(source, canvas);
  if (firsts.size > 400) firsts.delete(firsts.keys().next().value);
  return canvas;
}

function stripView(holder) {
  let near = false, asked = null, shown = "", cells = [];
  const cell = (layer, map, frame, at) => {
    const dead = told(layer, at, map).dead, words = `${epochWords(frame.epoch)}${dead ? ", dead" : ""}`;
    const button = html("button", { type: "button", "aria-label": `${layer.run === own ? "" : "other run, "}${layer.name} map ${map}, ${words}` }, holder);
    html("span", {}, button, dead ? `${frame.epoch} ✕` : String(frame.epoch));
    const canvas = html("canvas", { width: frame.sheet.tile, height: frame.sheet.tile, "aria-hidden": "true", class: dead ? "dead" : "" }, button);
    button.addEventListener("click", () => nearestEpoch(frame.epoch));
    return { button, canvas, frame, at, drawn: false };
  };
  const fill = async (layer, map) => {
    const mine = (asked = {}), around = placeAt(layer, state.epoch);
    for (const each of [...cells].sort((a, b) => Math.abs(a.at - around) - Math.abs(b.at - around))) {
      if (each.drawn || told(layer, each.at, map).dead) continue;
      const row = await firstsOf(layer, each.frame);
      if (asked !== mine) return;
      const { tile, maps } = each.frame.sheet, place = maps.indexOf(map);
      if (place >= 0) each.canvas.getContext("2d").drawImage(row, place * tile, 0, tile, tile, 0, 0, tile, tile);
      each.drawn = true;
      each.canvas.dataset.drawn = "yes";
    }
  };
  let current = null;
  new IntersectionObserver((seen) => {
    near = seen[seen.length - 1].isIntersecting;
    if (near && current) fill(...current);
  }, { rootMargin: "100px" }).observe(holder);
  return (layer, map, epoch) => {
    const wanted = `${layer.run.report} ${layer.name} ${map}`;
    current = [layer, map];
    if (wanted !== shown) {
      asked = null;
      holder.replaceChildren();
      cells = layer.frames.map((frame, at) => cell(layer, map, frame, at));
      if (near) fill(layer, map);
    }
    shown = wanted;
    const at = placeAt(layer, epoch);
    for (const each of cells) each.button.toggleAttribute("aria-current", each.at === at);
    const { button } = cells[at];
    holder.scrollLeft = button.offsetLeft - holder.offsetLeft - (holder.clientWidth - button.clientWidth) / 2;
  };
}

// The scores of a map's first and ninth image at every shown epoch; beside another run, that run's first as well.
function curveView(holder) {
  let shown = "", move = () => {};
  return (sides, maps, epoch) => {
    const used = sides.filter((side, at) => side.layer && maps[at] !== undefined && (at === 0 || side.run !== sides[0].run));
    const wanted = JSON.stringify([maps, used.map((side) => [side.run.report, side.layer.name])]);
    if (wanted !== shown) {
      holder.replaceChildren();
      move = drawCurve(holder, used, maps);
    }
    shown = wanted;
    move(epoch);
  };
}

function drawCurve(holder, sides, maps) {
  const epochs = [...new Set(sides.flatMap((side) => side.layer.frames.map((frame) => frame.epoch)))].sort((a, b) => a - b);
  const scores = (side, rank, map = maps[sides.indexOf(side)]) => epochs.map((epoch) => {
    const at = side.layer.frames.findIndex((frame) => frame.epoch === epoch), said = at < 0 ? null : told(side.layer, at, map);
    return said?.top.score[rank] ?? (said?.dead && rank === 0 ? 0 : null);
  });
  const lines = [{ name: "strongest", values: scores(sides[0], 0) }, { name: "ninth", values: scores(sides[0], 8) }];
  if (sides[1]) lines.push({ name: "other run", values: scores(sides[1], 0) });
  const drawn = lines.map((line, number) => ({ ...line, number })).filter((line) => line.values.some(known));
  return drawn.length ? chart(holder, { title: "Scores of its images", lines: drawn }, epochs, nearestEpoch) : () => {};
}
