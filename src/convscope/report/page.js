"use strict";
// Moves the page: one layer, one epoch and one epoch to compare with decide everything that is shown.
// They stand in the address: #layer=conv3&epoch=7&compare=1

const { series, metrics } = window.DATA || { series: [], metrics: {} };
const $ = (id) => document.getElementById(id);
const of = (prefix) => series.filter((each) => each.name.startsWith(`${prefix}/`));
const layerOf = (each) => each.layer || each.name.split("/").slice(1).join("/");

const layers = of("top9").map(layerOf);
const known = (epoch) => epoch !== null && epoch !== undefined;
const epochs = [...new Set(series.flatMap((each) => each.frames.map((frame) => frame.epoch)).filter(known))].sort((a, b) => a - b);
const last = epochs[epochs.length - 1] ?? null;
const state = { layer: layers[0] ?? null, epoch: last, compare: null };
const followers = []; // functions to call when the state has changed

// ---------------------------------------------------------------- pictures

// The frame to show at an epoch: the last one up to it, else the first.
const frameAt = (each, epoch) => each.frames.filter((frame) => !known(frame.epoch) || frame.epoch <= epoch).pop() || each.frames[0];

const loaded = new Map(); // source -> promise of a decoded Image; the oldest go when there are many
function load(source) {
  if (!loaded.has(source)) {
    const image = new Image();
    image.src = source;
    loaded.set(source, image.decode().then(() => image, () => image));
    if (loaded.size > 40) loaded.delete(loaded.keys().next().value);
  }
  return loaded.get(source);
}

function figure(holder) {
  const box = html("figure", {}, holder);
  const link = html("a", { target: "_blank", rel: "noopener", class: "frame" }, box);
  const image = html("img", { alt: "" }, link);
  const caption = html("figcaption", {}, box);
  return { box, link, image, caption, wanted: null };
}

// Puts a frame into a figure once it is decoded, so that nothing flickers; the last one asked for wins.
async function put(fig, each, frame, epoch) {
  fig.wanted = frame.source;
  const ready = await load(frame.source);
  if (fig.wanted !== frame.source) return;
  const when = known(frame.epoch) ? `epoch ${frame.epoch}` : "";
  if (fig.image.getAttribute("src") !== frame.source) {
    if (ready.naturalWidth) Object.assign(fig.image, { width: ready.naturalWidth, height: ready.naturalHeight });
    fig.image.src = frame.source;
  }
  fig.image.alt = [frame.caption || each.name, when].filter(Boolean).join(", ");
  fig.link.href = frame.source;
  fig.box.classList.toggle("plain", ready.naturalWidth > 0 && ready.naturalWidth < 1100);
  fig.caption.textContent = (frame.caption || each.name).replace(`, epoch ${frame.epoch}`, ""); // said once is enough
  if (when) {
    const note = known(epoch) && frame.epoch !== epoch ? `${when} (none at ${epoch})` : when;
    fig.caption.prepend(html("b", {}, null, note));
  }
}

function preload(each) {
  const at = each.frames.findIndex((frame) => frame === frameAt(each, state.epoch));
  for (const step of [1, 2, 3, 4, -1, -2]) if (each.frames[at + step]) load(each.frames[at + step].source);
}

function setUpTop9() {
  const holder = $("top9"), main = figure(holder), second = figure(holder);
  return async () => {
    const each = of("top9").find((one) => layerOf(one) === state.layer);
    const both = each !== undefined && state.compare !== null;
    main.box.hidden = !each;
    second.box.hidden = !both;
    holder.classList.toggle("two", both);
    if (!each) return;
    if (both) put(second, each, frameAt(each, state.compare), state.compare);
    await put(main, each, frameAt(each, state.epoch), state.epoch);
    if (document.readyState === "complete") preload(each);
  };
}

// Figures below the first view: filled only when they come near the window.
function setUpFollowing(id, shown) {
  const section = $(id), holder = section.querySelector(".holder");
  let figures = [], near = false;
  const update = () => {
    const list = shown();
    section.hidden = list.length === 0;
    if (!near || !list.length) return undefined;
    while (figures.length < list.length) figures.push(figure(holder));
    figures.forEach((fig, at) => { fig.box.hidden = at >= list.length; });
    return Promise.all(list.map((each, at) => put(figures[at], each, frameAt(each, state.epoch), null)));
  };
  new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting) && !near) { near = true; update(); } }, { rootMargin: "200px" }).observe(section);
  return update;
}

// ---------------------------------------------------------------- layer, epoch, compare, play

function setUpLayers() {
  const holder = document.querySelector(".layers");
  for (const layer of layers) html("button", { type: "button" }, holder, layer).addEventListener("click", () => change({ layer }));
  for (const row of document.querySelectorAll("tr[data-layer]")) {
    if (!layers.includes(row.dataset.layer)) continue;
    const name = row.querySelector("th"), link = html("a", { href: `#layer=${encodeURIComponent(row.dataset.layer)}` }, null, row.dataset.layer);
    name.replaceChildren(link);
    link.addEventListener("click", (event) => {
      event.preventDefault();
      change({ layer: row.dataset.layer });
      $("features").scrollIntoView();
    });
  }
  return () => { for (const button of holder.children) button.setAttribute("aria-pressed", String(button.textContent === state.layer)); };
}

function setUpEpochs() {
  const slider = $("epoch"), select = $("compare");
  for (const part of document.querySelectorAll(".time, .bytime")) part.hidden = epochs.length < 2;
  slider.max = String(Math.max(0, epochs.length - 1));
  for (const epoch of epochs) html("option", { value: epoch }, select, `epoch ${epoch}`);
  slider.addEventListener("input", () => change({ epoch: epochs[slider.value] }));
  select.addEventListener("change", () => change({ compare: select.value === "" ? null : Number(select.value) }));
  return () => {
    slider.value = String(epochs.indexOf(state.epoch));
    slider.setAttribute("aria-valuetext", `epoch ${state.epoch}`);
    $("shown").textContent = `epoch ${state.epoch}`;
    select.value = state.compare ?? "";
  };
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
  Object.assign(state, values);
  if (playing === null) remember(); // browsers limit how often the address may change
  return Promise.all(followers.map((follow) => follow()));
}

function remember() {
  if (!series.length) return;
  const words = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) if (value !== null) words.set(key, value);
  history.replaceState(null, "", `#${words}`);
}

function recall() {
  const words = new URLSearchParams(location.hash.slice(1));
  const epoch = (key) => (epochs.includes(Number(words.get(key))) && words.has(key) ? Number(words.get(key)) : null);
  if (layers.includes(words.get("layer"))) state.layer = words.get("layer");
  if (epoch("epoch") !== null) state.epoch = epoch("epoch");
  if (words.has("layer") || words.has("epoch")) state.compare = epoch("compare");
}

function keys(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select, textarea, .wide")) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step && epochs.length) {
    const at = Math.min(epochs.length - 1, Math.max(0, epochs.indexOf(state.epoch) + step));
    change({ epoch: epochs[at] });
  } else if (event.key === " " && epochs.length > 1 && !event.target.closest("button, a, summary")) play();
  else if (/^[1-9]$/.test(event.key) && layers[event.key - 1] !== undefined) change({ layer: layers[event.key - 1] });
  else return;
  event.preventDefault();
}

// ---------------------------------------------------------------- curves and the rest

function lines(prefix) {
  return Object.keys(metrics).filter((column) => column.startsWith(prefix)).map((column, number) => ({ name: column.slice(prefix.length), number, values: metrics[column] }));
}
// At the first shown epoch there is nothing to compare with, whatever the column says.
function compared(prefix) {
  return lines(prefix).map(({ values, ...line }) => ({ ...line, values: values.map((value, at) => (at === values.findIndex(known) ? null : value)) }));
}
const named = (names) => names.flatMap(([name, column], number) => (metrics[column] ? [{ name, number, values: metrics[column] }] : []));

function setUpCharts() {
  const when = metrics.epoch || [];
  const specs = [
    { title: "Loss", lines: named([["training", "train/loss"], ["validation", "val/loss"]]) },
    { title: "Accuracy", share: true, whole: true, lines: named([["train top-1", "train/top1"], ["val top-1", "val/top1"], ["val top-5", "val/top5"]]) },
    { title: "Settling: top-9 images that stayed", share: true, whole: true, rule: 0.5, lines: compared("stayed/") },
    { title: "Similarity of the strongest projection to the one before", lines: compared("similarity/") },
    { title: "Dead maps", share: true, lines: lines("dead/").filter((line) => line.values.some((value) => value > 0)) },
  ];
  for (const spec of specs) spec.lines = spec.lines.filter((line) => line.values.some(known));
  const drawn = specs.filter((spec) => spec.lines.length);
  const updates = drawn.map((spec) => chart(document.querySelector(".charts"), spec, when, (epoch) => {
    if (epochs.length) change({ epoch: epochs.reduce((best, each) => (Math.abs(each - epoch) < Math.abs(best - epoch) ? each : best)) });
  }));
  const plots = series.filter((each) => ["settling", "curves"].includes(each.name));
  const holder = document.querySelector(".plots");
  for (const each of plots) {
    const frame = each.frames[each.frames.length - 1];
    if (drawn.length) html("a", { class: "png", href: frame.source, target: "_blank", rel: "noopener" }, holder, `${each.name} as a picture`);
    else put(figure(holder), each, frame, null);
  }
  $("training").hidden = !drawn.length && !plots.length;
  return () => { if (state.epoch !== null) for (const update of updates) update(state.epoch); };
}

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
    if (!series.length) continue; // nothing moves: the address is free for the section's name
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
$("features").hidden = !series.some((each) => !/^(settling|curves)$/.test(each.name));
recall();
followers.push(
  setUpLayers(), setUpEpochs(), setUpTop9(), setUpCharts(),
  setUpFollowing("growth", () => of("evolution").filter((each) => layerOf(each) === state.layer)),
  setUpFollowing("filters", () => of("filters")),
  setUpFollowing("more", () => others),
);
setUpSections();
$("play").addEventListener("click", play);
document.addEventListener("keydown", keys);
addEventListener("hashchange", () => { recall(); change({}); });
addEventListener("load", () => followers.forEach((follow) => follow()), { once: true }); // now also the neighbors
change({});
