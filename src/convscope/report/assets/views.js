"use strict";
// The two views of the atlas, which of them is shown, and how one goes from one to the other.

const tiled = (view) => hasTiles(view.layer) && !of("top9").some((each) => layerOf(each) === view.layer && each.frames.some((frame) => frame.epoch === view.epoch));

function mapView(holder) {
  const panels = holder.querySelector(".panels"), first = panel(panels), second = panel(panels);
  const strip = stripView($("strip")), otherStrip = stripView($("otherstrip")), curve = curveView($("curve"));
  return (view, sides) => {
    const { layer } = sides[0], place = order(layer).indexOf(view.map);
    $("maptitle").textContent = `${layer.name} map ${view.map}`;
    fillStep($("before"), order(layer)[place - 1], "‹ ", "");
    fillStep($("after"), order(layer)[place + 1], "", " ›");
    $("back").textContent = `‹ all of ${layer.name}`;
    panels.classList.toggle("two", sides.length > 1);
    fillPanel(first, sides[0], view.map, sides.length > 1);
    second.box.hidden = sides.length < 2;
    const partner = partners(sides, view.sort).get(view.map), another = sides[1] && sides[1].run !== own && partner !== undefined;
    if (sides[1]) fillPanel(second, sides[1], partner, true);
    for (const id of ["overtime", "curve"]) $(id).hidden = epochs.length < 2;
    if (epochs.length < 2) return;
    strip(layer, view.map, view.epoch);
    document.querySelector("#overtime .several").hidden = $("otherstrip").hidden = !another;
    if (another) otherStrip(sides[1].layer, partner, view.epoch);
    curve(sides, [view.map, partner], view.epoch);
  };
}

const order = (layer) => ordered(layer, state.sort);
function fillStep(button, map, before, after) {
  button.disabled = map === undefined;
  button.dataset.map = map ?? "";
  button.textContent = map === undefined ? before + after : `${before}map ${map}${after}`;
}

// ---------------------------------------------------------------- from one view to the other

let tiles = null, arriving = false; // arriving: the next picture of the map view takes the focus
let carried = null; // what the layer view keeps of the map view when one goes back to it

function openMap(map, layer = state.layer) {
  state.layer = layer;
  remember(); // the way back leads to all maps of this layer
  history.pushState({ opened: true }, "", addressOf({ map }));
  arriving = true;
  return change({ map, rank: null });
}

async function closeMap() {
  const { map, epoch, beside, sort, show } = state;
  carried = { epoch, beside, sort, show, closed: map };
  if (history.state?.opened) return history.back(); // goes on when the address has changed
  return arriveBack();
}
async function arriveBack() {
  const { closed, ...kept } = carried;
  carried = null;
  await change({ ...kept, map: null, rank: null });
  tiles.focus(closed);
}

async function stepMap(by) {
  if (state.map === null) return tiles.step(by);
  const map = Number($(by < 0 ? "before" : "after").dataset.map || NaN);
  return Number.isNaN(map) ? undefined : change({ map, rank: null });
}

// ---------------------------------------------------------------- everything together

function besideWords([first, second]) {
  return `Beside it: ${second.title}${samePlaces(first.layer, second.layer) ? "" : "; it shows other maps, here in the same order"}.`;
}

function showScene(view, sides, views) {
  const wrong = sides[1] && !sides[1].layer ? sides[1].problem : "", other = sides[1]?.run && sides[1].run !== own ? besideWords(sides) : "";
  const single = view.map !== null && sides[0].layer?.shown.includes(view.map);
  $("tally").textContent = sides[0].layer ? [single ? "" : tally(sides[0]), wrong || other].filter(Boolean).join(" ") : sides[0].problem;
  $("tally").hidden = !$("tally").textContent;
  $("features").classList.toggle("single", Boolean(single));
  $("tiles").hidden = single || !sides[0].layer;
  $("map").hidden = !single;
  if (!sides[0].layer) return;
  (single ? views.map : views.tiles.show)(view, wrong ? sides.slice(0, 1) : sides);
  if (arriving && single) {
    $("features").scrollIntoView();
    $("maptitle").focus({ preventScroll: true });
  }
  arriving = false;
}

// Draws one scene at a time and always the newest: a slider that is dragged skips what cannot be drawn in time.
function setUpAtlas() {
  if (!own.atlas) return () => undefined;
  const views = { tiles: (tiles = tilesView($("tiles"))), map: mapView($("map")) };
  setUpOptions();
  let again = false, busy = null;
  const draw = async () => {
    for (again = true; again;) {
      again = false;
      const view = { ...state };
      $("atlas").hidden = !tiled(view);
      document.querySelector(".oftiles").hidden = $("atlas").hidden;
      if ($("atlas").hidden) continue;
      const sides = await sidesOf(view);
      showScene(view, sides, views);
      if (moved) ahead(sides);
    }
  };
  return () => {
    again = true;
    busy ??= draw().finally(() => { busy = null; });
    return busy;
  };
}

// The next frames are loaded only when someone moves through them.
function ahead(sides) {
  for (const { layer, at } of sides)
    for (const step of [1, 2]) if (layer?.frames[at + step]) load(layer.run.report + layer.frames[at + step].source);
}

function setUpOptions() {
  const sort = $("sort");
  if (epochs.length < 2) sort.querySelector("[value=stability]").remove();
  sort.addEventListener("change", () => change({ sort: sort.value || null }));
  for (const button of $("show").children) button.addEventListener("click", () => change({ show: button.value || null }));
  for (const [id, by] of [["before", -1], ["after", 1]]) $(id).addEventListener("click", () => stepMap(by));
  $("back").addEventListener("click", closeMap);
  followers.push(() => {
    sort.value = state.sort ?? "";
    for (const button of $("show").children) button.setAttribute("aria-pressed", String(button.value === (state.show ?? "")));
  });
}
