"use strict";
// Whole pictures by epoch: those of `series`, each shown as it is. page.js says which layer and which epoch.

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
    const each = of("top9").find((one) => layerOf(one) === state.layer), before = epochBeside(state.beside), both = before !== null;
    holder.hidden = !each || tiled(state);
    if (holder.hidden) return;
    second.box.hidden = !both;
    holder.classList.toggle("two", both);
    if (both) put(second, each, frameAt(each, before), before);
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
