"use strict";
// The presentation: one map on the whole screen. The arrows move the epoch, j and k the map, Escape leaves.

/** @typedef {ReturnType<typeof newStage>} Stage */

/** @param {HTMLElement} holder */
function newStage(holder) {
  const box = html(
    "div",
    { id: "stage", role: "dialog", "aria-modal": "true", "aria-labelledby": "stagetitle" },
    holder,
  );
  const line = html("div", { class: "line" }, box);
  const title = html("h2", { id: "stagetitle" }, line);
  const when = html("div", { class: "when", "aria-live": "polite" }, line);
  const both = html("div", { class: "both" }, box);
  const projections = html("canvas", { role: "img" }, both);
  const patches = html("canvas", { role: "img" }, both);
  const words = html("div", { class: "words" }, box);
  const facts = html("p", {}, words);
  const before = html("button", { type: "button", "aria-label": "previous epoch" }, words, "◀");
  const after = html("button", { type: "button", "aria-label": "next epoch" }, words, "▶");
  const close = html("button", { type: "button" }, words, "leave (esc)");
  return { box, title, when, projections, patches, facts, before, after, close };
}

/**
 * The presentation that is on; null for none. back: what had the focus.
 * @type {{stage: Stage, back: Element | null} | null}
 */
let presentation = null;
let presented = 0; // of the newest drawing; an older one stops

function present() {
  if (presentation || state.map === null) return;
  const stage = newStage(document.body);
  presentation = { stage, back: document.activeElement };
  for (const part of queryAll("header.page, main")) part.inert = true;
  stage.before.hidden = stage.after.hidden = epochs.length < 2;
  stage.before.addEventListener("click", () => stepEpoch(-1));
  stage.after.addEventListener("click", () => stepEpoch(1));
  stage.close.addEventListener("click", leavePresentation);
  stage.close.focus();
  document.documentElement.requestFullscreen?.().catch(() => {}); // else it fills the window
  showPresentation();
}

function leavePresentation() {
  if (!presentation) return;
  const { stage, back } = presentation;
  presentation = null;
  stage.box.remove();
  for (const part of queryAll("header.page, main")) part.inert = false;
  if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
  if (back instanceof HTMLElement) back.focus();
}

async function showPresentation() {
  if (!presentation) return;
  const { stage } = presentation;
  const { layer: name, epoch, map } = state;
  if (map === null) {
    leavePresentation();
    return;
  }
  presented += 1;
  const mine = presented;
  const side = await sideOf(own, name, epoch);
  if (mine !== presented || !presentation || "problem" in side) return;
  const { dead, strength, overlap, top } = mapState(side.layer, side.at, map);
  stage.title.textContent = `${side.layer.name} map ${map}`;
  stage.when.textContent = epochWords(side.frame.epoch);
  drawTiles(stage.projections, side, map, "projections");
  drawTiles(stage.patches, side, map, "patches");
  const classes = classesOf(own ?? side.run, top)
    .slice(0, 3)
    .map(([label, count]) => `${label} ${count}`)
    .join(", ");
  const facts = [
    isPresent(strength) && `strength ${valueText(strength)}`,
    isPresent(overlap) && `${percentText(overlap)} stayed`,
    labelWords(side.layer, map),
    classes,
  ];
  stage.facts.textContent = dead ? "✕ dead: no image excites it" : joined(facts, " · ");
  stage.projections.setAttribute("aria-label", `${stage.title.textContent}, projections`);
  stage.patches.setAttribute("aria-label", `${stage.title.textContent}, image patches`);
}

/** Puts the button beside the title of a map. */
function setUpPresentation() {
  const button = html("button", { type: "button", id: "present" }, null, "present");
  button.title = "this map on the whole screen: arrows move the epoch, escape leaves (p)";
  byId("before").before(button);
  button.addEventListener("click", present);
  document.addEventListener("fullscreenchange", () => {
    if (!document.fullscreenElement) leavePresentation(); // the browser takes Escape for itself
  });
  document.addEventListener(
    "keydown",
    (event) => {
      const plain = !(event.altKey || event.ctrlKey || event.metaKey);
      const typing = event.target instanceof Element && event.target.closest("input, select, textarea");
      if (presentation && event.key === "Escape") leavePresentation();
      else if (!presentation && event.key === "p" && plain && !typing && state.map !== null) present();
      else return;
      event.preventDefault();
      event.stopImmediatePropagation(); // Escape leaves the presentation, not the map
    },
    { capture: true },
  );
  return showPresentation;
}
