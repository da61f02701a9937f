"use strict";
// Which part each map answers to, where the net was dissected: words on the maps, and a choice of the maps of one part.

/**
 * @param {AtlasLayer} layer
 * @param {number | undefined} map
 */
const labelOf = (layer, map) => (map === undefined ? null : (layer.labels?.[layer.shown.indexOf(map)] ?? null));

/**
 * "detects eyes, IoU 0.12", or "most like eyes, IoU 0.02" of a map that is no detector.
 * @param {AtlasLayer} layer
 * @param {number | undefined} map
 */
function labelWords(layer, map) {
  const label = labelOf(layer, map);
  return label ? `${label.detector ? "detects" : "most like"} ${label.part}, IoU ${label.iou.toFixed(2)}` : "";
}

/**
 * Whether a map detects the part that is chosen; every map where none is.
 * @param {AtlasLayer} layer
 * @param {string | null} part
 */
const detects = (layer, part) => (/** @type {number} */ map) => {
  const label = part === null ? null : labelOf(layer, map);
  return part === null || Boolean(label?.detector && label.part === part);
};

/**
 * The maps on the page, in their order.
 * @param {AtlasLayer} layer
 * @param {PageState} view
 */
const chosenMaps = (layer, view) => ordered(layer, view.sort).filter(detects(layer, view.part));

/**
 * "3 of the maps shown here detect eyes.", where a part is chosen.
 * @param {AtlasLayer} layer
 * @param {string | null} part
 */
function chosenWords(layer, part) {
  if (part === null) return "";
  const count = layer.shown.filter(detects(layer, part)).length;
  const verb = count === 1 ? "detects" : "detect";
  return `${count || "None"} of the ${plural(layer.shown.length, "map")} ${verb} ${part}.`;
}

function setUpParts() {
  const select = byId("part", HTMLSelectElement);
  const parts = own?.atlas.parts ?? [];
  for (const part of parts) html("option", { value: part }, select, part);
  query("label.part").hidden = !parts.length;
  select.addEventListener("change", () => change({ part: select.value || null }));
  followers.push(() => {
    select.value = state.part ?? "";
  });
}
