"use strict";
// Moves the page: its state decides everything that is shown, and stands in the address:
// #layer=conv3&epoch=7&map=12&rank=2&sort=strength&show=patches&beside=epoch:2, or beside=run:<folder>.
// Where a run has no atlas, whole pictures are compared: #layer=conv3&epoch=7&compare=1

const { series, metrics } = window.DATA || { series: [], metrics: {} };
const $ = (id) => document.getElementById(id);
const of = (prefix) => series.filter((each) => each.name.startsWith(`${prefix}/`));
const layerOf = (each) => each.layer || each.name.split("/").slice(1).join("/");

const layers = [...new Set([...(own.atlas?.layers ?? []).map((each) => each.name), ...of("top9").map(layerOf)])];
const known = (epoch) => epoch !== null && epoch !== undefined;
const epochs = [...new Set([...(own.atlas?.epochs ?? []), ...series.flatMap((each) => each.frames.map((frame) => frame.epoch))].filter(known))].sort((a, b) => a - b);
const last = epochs[epochs.length - 1] ?? null;
const middle = layers[Math.floor((layers.length - 1) / 2)] ?? null; // parts of things: neither edges nor whole classes
const state = { layer: middle, epoch: last, map: null, rank: null, sort: null, show: null, beside: null };
let moved = false; // whether anyone has moved anything: what comes next is loaded ahead only then
const followers = []; // functions to call when the state has changed

// ---------------------------------------------------------------- layer, epoch, compare, play

function setUpLayers() {
  const holder = document.querySelector(".layers");
  for (const layer of layers) html("button", { type: "button" }, holder, layer).addEventListener("click", () => change({ layer, map: null, rank: null }));
  for (const row of document.querySelectorAll("tr[data-layer]")) {
    if (!layers.includes(row.dataset.layer)) continue;
    const name = row.querySelector("th"), link = html("a", { href: `#layer=${encodeURIComponent(row.dataset.layer)}` }, null, row.dataset.layer);
    name.replaceChildren(link);
    link.addEventListener("click", (event) => {
      event.preventDefault();
      change({ layer: row.dataset.layer, map: null, rank: null });
      $("features").scrollIntoView();
    });
  }
  for (const link of document.querySelectorAll(".glance a"))
    link.addEventListener("click", (event) => { if (plainClick(event)) openMap(Number(link.dataset.map), link.closest("tr").dataset.layer); });
  return () => {
    for (const button of holder.children) {
      const chosen = button.textContent === state.layer;
      button.setAttribute("aria-pressed", String(chosen));
      if (chosen) holder.scrollLeft = button.offsetLeft - holder.offsetLeft - (holder.clientWidth - button.clientWidth) / 2;
    }
  };
}

function setUpEpochs() {
  const slider = $("epoch"), select = $("compare");
  for (const part of document.querySelectorAll(".time, .bytime")) part.hidden = epochs.length < 2;
  for (const part of document.querySelectorAll(".bymap")) part.hidden = !own.atlas;
  for (const part of document.querySelectorAll(".bypicture")) part.hidden = Boolean(own.atlas);
  slider.max = String(Math.max(0, epochs.length - 1));
  fillCompare(select);
  slider.addEventListener("input", () => change({ epoch: epochs[slider.value] }));
  select.addEventListener("change", () => change({ beside: /^\d+$/.test(select.value) ? `epoch:${select.value}` : select.value || null }));
  return () => {
    slider.value = String(epochs.indexOf(state.epoch));
    slider.setAttribute("aria-valuetext", `epoch ${state.epoch}`);
    $("shown").textContent = `epoch ${state.epoch}`;
    select.value = epochBeside(state.beside) ?? state.beside ?? "";
  };
}

function fillCompare(select) {
  const runs = own.atlas?.beside ?? [], shown = epochs.length > 1 ? epochs : [];
  const of_epochs = runs.length && shown.length ? html("optgroup", { label: "an epoch" }, select) : select;
  for (const epoch of shown) html("option", { value: epoch }, of_epochs, `epoch ${epoch}`);
  const others = runs.length ? html("optgroup", { label: "another run" }, select) : null;
  for (const { title, folder } of runs) html("option", { value: `run:${folder}` }, others, title);
  select.parentElement.hidden = !shown.length && !runs.length;
}

let playing = null;
function stop() {
  clearTimeout(playing);
  playing = null;
  $("play").textContent = "▶";
  $("play").setAttribute("aria-pressed", "false");
  remember();
}
function play() {
  if (playing !== null) return stop();
  if (epochs.length < 2) return undefined;
  $("play").textContent = "❚❚";
  $("play").setAttribute("aria-pressed", "true");
  const step = async () => {
    await change({ epoch: epochs[epochs.indexOf(state.epoch) + 1] });
    if (playing === null) return;
    if (state.epoch === last) stop();
    else playing = setTimeout(step, 600);
  };
  playing = setTimeout(step, state.epoch === last ? 600 : 0);
  if (state.epoch === last) change({ epoch: epochs[0] });
  return undefined;
}

// ---------------------------------------------------------------- state and address

function change(values) {
  moved ||= Object.keys(values).length > 0;
  Object.assign(state, values);
  if (playing === null) remember(); // browsers limit how often the address may change
  return Promise.all(followers.map((follow) => follow()));
}

function remember() {
  if (layers.length || series.length) history.replaceState(history.state, "", addressOf({}));
}

function addressOf(values) {
  const words = new URLSearchParams(), { beside, ...rest } = { ...state, ...values };
  for (const [key, value] of Object.entries(rest)) if (value !== null) words.set(key, value);
  if (beside !== null) words.set(...(own.atlas ? ["beside", beside] : ["compare", epochBeside(beside)]));
  return `#${String(words).replaceAll("%3A", ":")}`;
}

// What an address does not name is as at first; an address of another kind, such as a section's, changes nothing.
function recall() {
  const words = new URLSearchParams(location.hash.slice(1));
  if (!words.has("layer") && !words.has("epoch")) return;
  const whole = (key) => (/^\d+$/.test(words.get(key) ?? "") ? Number(words.get(key)) : null);
  const one = (key, possible) => (possible.includes(words.get(key)) ? words.get(key) : null);
  if (layers.includes(words.get("layer"))) state.layer = words.get("layer");
  if (epochs.includes(whole("epoch"))) state.epoch = whole("epoch");
  const shown = own.atlas?.layers.find((each) => each.name === state.layer)?.shown ?? [];
  state.map = shown.includes(whole("map")) ? whole("map") : null;
  state.rank = state.map !== null && whole("rank") < 9 ? whole("rank") : null;
  state.sort = one("sort", ["strength", "stability", "dead"]);
  state.show = one("show", ["projections", "patches"]);
  const beside = words.get("beside") ?? (words.has("compare") ? `epoch:${words.get("compare")}` : null);
  const runs = (own.atlas?.beside ?? []).map((each) => `run:${each.folder}`);
  state.beside = [...epochs.map((epoch) => `epoch:${epoch}`), ...runs].includes(beside) ? beside : null;
}

// The shown epoch nearest to one of the curves'.
function nearestEpoch(epoch) {
  if (epochs.length) change({ epoch: epochs.reduce((best, each) => (Math.abs(each - epoch) < Math.abs(best - epoch) ? each : best)) });
}

function keys(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select, textarea, .wide")) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step && epochs.length) {
    const at = Math.min(epochs.length - 1, Math.max(0, epochs.indexOf(state.epoch) + step));
    change({ epoch: epochs[at] });
  } else if (event.key === " " && epochs.length > 1 && !event.target.closest("button, a:not(.card), summary")) play();
  else if (/^[1-9]$/.test(event.key) && layers[event.key - 1] !== undefined) change({ layer: layers[event.key - 1], map: null, rank: null });
  else if (/^[jk]$/.test(event.key) && tiled(state)) stepMap(event.key === "j" ? 1 : -1);
  else if (event.key === "Escape" && state.map !== null) closeMap();
  else return;
  event.preventDefault();
}

// ---------------------------------------------------------------- theme, sections, start

// The script in the head has chosen the theme before the first paint; a theme once clicked stays.
function setUpTheme() {
  const root = document.documentElement.dataset;
  $("theme").addEventListener("click", () => {
    root.theme = root.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("convscope-theme", root.theme); } catch { /* not allowed on this page */ }
  });
}

function setUpSections() {
  for (const link of document.querySelectorAll("nav a")) {
    const section = $(link.dataset.section);
    link.hidden = !section || section.hidden;
    if (!layers.length && !series.length) continue; // nothing moves: the address is free for the section's name
    section.tabIndex = -1;
    link.addEventListener("click", (event) => {
      event.preventDefault();
      section.scrollIntoView();
      section.focus({ preventScroll: true }); // the next Tab goes on from there
    });
  }
}

const placed = /^(top9|evolution|filters)\/|^(settling|curves)$/;
const others = series.filter((each) => !placed.test(each.name));
setUpTheme();
$("features").hidden = !own.atlas && !series.some((each) => !/^(settling|curves)$/.test(each.name));
recall();
arriving = state.map !== null && performance.getEntriesByType("navigation")[0]?.type !== "reload"; // a link to a map leads to it
followers.push(
  setUpLayers(), setUpEpochs(), setUpTop9(), setUpAtlas(), setUpCharts(),
  setUpFollowing("growth", () => of("evolution").filter((each) => layerOf(each) === state.layer)),
  setUpFollowing("filters", () => of("filters")),
  setUpFollowing("more", () => others),
);
setUpSections();
$("play").addEventListener("click", play);
document.addEventListener("keydown", keys);
addEventListener("hashchange", () => {
  const back = carried !== null && !/[#&]map=/.test(location.hash); // Escape from a map: what it showed stays
  recall();
  if (back) return arriveBack();
  carried = null;
  return change({});
});
addEventListener("load", () => followers.forEach((follow) => follow()), { once: true }); // now also the neighbors
change({});
