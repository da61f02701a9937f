"use strict";
// Which part each map answers to, where the net was dissected: words on the maps, and a choice of the maps of one part.

/**
 * @param {AtlasLayer} layer
 * @param {number | undefined} map
 */
const labelOf = (layer, map) => (map === undefined ? null : (layer.labels?.[layer.shown.indexOf(map)] ?? null));

/**
 * "detects eyes, IoU 0.12"; "" of a map that is no detector.
 * @param {AtlasLayer} layer
 * @param {number | undefined} map
 */
function labelWords(layer, map) {
  const label = labelOf(layer, map);
  return label?.detector ? `detects ${label.part}, IoU ${label.iou.toFixed(2)}` : "";
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
 * How many maps are on the page: "3 of the 16 drawn maps (of 96) detect eyes.", where a part is chosen, else
 * "16 of 96 maps shown."
 * @param {AtlasLayer} layer
 * @param {string | null} part
 */
function countWords(layer, part) {
  const drawn = layer.shown.length;
  const all = !isPresent(layer.maps) || drawn >= layer.maps;
  if (part === null)
    return all ? `${plural(drawn, "map")}.` : `${drawn} of ${plural(Number(layer.maps), "map")} shown.`;
  const count = layer.shown.filter(detects(layer, part)).length;
  const among = all ? plural(drawn, "map") : `${drawn} drawn maps (of ${layer.maps})`;
  return `${count || "None"} of the ${among} ${count === 1 ? "detects" : "detect"} ${part}.`;
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
