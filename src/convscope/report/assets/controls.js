"use strict";
// The controls of the page: layer, epoch, what to compare with, play.

const STEP_MILLISECONDS = 600; // between two epochs of a play

function setUpLayers() {
  const holder = query(".layers");
  const buttons = layers.map((layer) => {
    const button = html("button", { type: "button" }, holder, layer);
    button.addEventListener("click", () => change({ layer, map: null, rank: null }));
    return button;
  });
  setUpStories();
  return () => {
    for (const button of buttons) {
      const chosen = button.textContent === state.layer;
      button.setAttribute("aria-pressed", String(chosen));
      if (chosen) scrollToCenter(holder, button);
    }
  };
}

// Makes the names and small pictures in the table of layers lead to the layer and its maps.
function setUpStories() {
  for (const row of queryAll("tr[data-layer]", HTMLTableRowElement)) {
    const layer = row.dataset.layer ?? "";
    for (const link of row.querySelectorAll("a"))
      if (link.dataset.map)
        link.addEventListener("click", (event) => {
          if (plainClick(event)) openMap(Number(link.dataset.map), layer);
        });
    if (!layers.includes(layer)) continue;
    const link = html("a", { href: `#layer=${encodeURIComponent(layer)}` }, null, layer);
    query("th", HTMLElement, row).replaceChildren(link);
    link.addEventListener("click", (event) => {
      event.preventDefault();
      change({ layer, map: null, rank: null });
      byId("features").scrollIntoView();
    });
  }
}

function setUpEpochs() {
  const slider = byId("epoch", HTMLInputElement);
  const select = byId("compare", HTMLSelectElement);
  const nothing = select.options[0];
  const refresh = () => {
    for (const part of queryAll(".time, .bytime")) part.hidden = epochs.length < 2;
    slider.max = String(Math.max(0, epochs.length - 1));
    select.replaceChildren(nothing);
    fillCompare(select);
  };
  for (const part of queryAll(".bymap")) part.hidden = !own;
  for (const part of queryAll(".bypicture")) part.hidden = Boolean(own);
  refresh();
  refreshers.push(refresh);
  slider.addEventListener("input", () => change({ epoch: epochs[Number(slider.value)] }));
  select.addEventListener("change", () =>
    change({ beside: /^\d+$/.test(select.value) ? `epoch:${select.value}` : select.value || null }),
  );
  return () => {
    slider.value = String(epochs.indexOf(Number(state.epoch)));
    slider.setAttribute("aria-valuetext", `epoch ${state.epoch}`);
    byId("shown").textContent = `epoch ${state.epoch}`;
    select.value = String(epochBeside(state.beside) ?? state.beside ?? "");
  };
}

/** @param {HTMLSelectElement} select */
function fillCompare(select) {
  const runs = runsBeside();
  const choices = epochs.length > 1 ? epochs : [];
  const epochGroup = runs.length && choices.length ? html("optgroup", { label: "an epoch" }, select) : select;
  for (const epoch of choices) html("option", { value: epoch }, epochGroup, `epoch ${epoch}`);
  const runGroup = runs.length ? html("optgroup", { label: "another run" }, select) : null;
  for (const { title, folder } of runs) html("option", { value: `run:${folder}` }, runGroup, title);
  query("label.compare").hidden = !choices.length && !runs.length;
}

/** @param {1 | -1} by */
function stepEpoch(by) {
  const at = epochs.indexOf(Number(state.epoch)) + by;
  change({ epoch: epochs[Math.min(epochs.length - 1, Math.max(0, at))] });
}

/**
 * The timer of a play that goes on.
 * @type {number | null}
 */
let playing = null;

function stop() {
  clearTimeout(playing ?? undefined);
  playing = null;
  showPlaying();
  remember();
}

function play() {
  if (playing !== null) {
    stop();
    return;
  }
  if (epochs.length < 2) return;
  const again = state.epoch === last;
  playing = setTimeout(playStep, again ? STEP_MILLISECONDS : 0);
  showPlaying();
  if (again) change({ epoch: epochs[0] });
}

async function playStep() {
  await change({ epoch: epochs[epochs.indexOf(Number(state.epoch)) + 1] });
  if (playing === null) return;
  if (state.epoch === last) stop();
  else playing = setTimeout(playStep, STEP_MILLISECONDS);
}

function showPlaying() {
  const button = byId("play");
  button.textContent = playing === null ? "▶" : "❚❚";
  button.setAttribute("aria-pressed", String(playing !== null));
}
