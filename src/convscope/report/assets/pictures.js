"use strict";
// Whole pictures by epoch: those of `series`, each shown as it is. page.js says which layer and which epoch.

/**
 * A figure of the page. source: of the frame that it shall show.
 * @typedef {{
 *   box: HTMLElement, link: HTMLAnchorElement, image: HTMLImageElement, caption: HTMLElement, source: string | null,
 * }} Figure
 */

const MOST_LOADED = 40; // pictures; the oldest go when there are more

/**
 * The place of the frame to show at an epoch: the last one up to it, else the first.
 * @param {{epoch: number | null}[]} frames
 * @param {number | null} epoch
 */
const placeAt = (frames, epoch) =>
  Math.max(
    0,
    frames.findLastIndex((frame) => !isPresent(frame.epoch) || frame.epoch <= Number(epoch)),
  );

/**
 * @param {PictureSeries} pictures
 * @param {number | null} epoch
 */
const frameAt = (pictures, epoch) => pictures.frames[placeAt(pictures.frames, epoch)];

/** @type {Map<string, Promise<HTMLImageElement>>} */
const loaded = new Map();

/**
 * An image once it is decoded. One that cannot be loaded comes without pixels.
 * @param {string} source
 * @returns {Promise<HTMLImageElement>}
 */
function load(source) {
  const before = loaded.get(source);
  if (before) return before;
  const image = new Image();
  image.src = source;
  const ready = image.decode().then(
    () => image,
    () => image,
  );
  loaded.set(source, ready);
  if (loaded.size > MOST_LOADED) loaded.delete([...loaded.keys()][0]);
  return ready;
}

/**
 * @param {Element} holder
 * @returns {Figure}
 */
function figure(holder) {
  const box = html("figure", {}, holder);
  const link = html("a", { target: "_blank", rel: "noopener", class: "frame" }, box);
  const image = html("img", { alt: "" }, link);
  const caption = html("figcaption", {}, box);
  return { box, link, image, caption, source: null };
}

/**
 * Puts a frame into a figure once it is decoded, so that nothing flickers; into an empty one at once, which a page that
 * is being printed needs. The frame of the last call wins.
 * @param {Figure} fig
 * @param {PictureSeries} pictures
 * @param {PictureFrame} frame
 * @param {number | null} epoch of the page, where the caption has to say that the frame is of another
 */
async function put(fig, pictures, frame, epoch) {
  fig.source = frame.source;
  if (!fig.image.hasAttribute("src")) fill(fig, pictures, frame, epoch);
  const ready = await load(frame.source);
  if (fig.source !== frame.source) return;
  if (ready.naturalWidth) Object.assign(fig.image, { width: ready.naturalWidth, height: ready.naturalHeight });
  fig.box.classList.toggle("plain", ready.naturalWidth > 0 && ready.naturalWidth < 1100);
  fill(fig, pictures, frame, epoch);
}

/**
 * @param {Figure} fig
 * @param {PictureSeries} pictures
 * @param {PictureFrame} frame
 * @param {number | null} epoch as in `put`
 */
function fill(fig, pictures, frame, epoch) {
  const when = isPresent(frame.epoch) ? `epoch ${frame.epoch}` : "";
  const caption = frame.caption || pictures.name;
  if (fig.image.getAttribute("src") !== frame.source) fig.image.src = frame.source;
  fig.image.alt = joined([caption, when], ", ");
  fig.link.href = frame.source;
  fig.caption.textContent = caption.replace(`, epoch ${frame.epoch}`, ""); // the epoch stands before the caption
  if (!when) return;
  const note = isPresent(epoch) && frame.epoch !== epoch ? `${when} (none at ${epoch})` : when;
  fig.caption.prepend(html("b", {}, null, note));
}

/** @param {PictureSeries} pictures */
function preload(pictures) {
  const at = placeAt(pictures.frames, state.epoch);
  for (const step of [1, 2, 3, 4, -1, -2]) {
    const frame = pictures.frames[at + step];
    if (frame) load(frame.source);
  }
}

function setUpTop9() {
  const holder = byId("top9");
  const main = figure(holder);
  const second = figure(holder);
  return async () => {
    const pictures = seriesOf("top9").find((entry) => layerOf(entry) === state.layer);
    const before = epochBeside(state.beside);
    holder.hidden = !pictures || tiled(state);
    if (!pictures || holder.hidden) return;
    second.box.hidden = before === null;
    holder.classList.toggle("two", before !== null);
    if (before !== null) put(second, pictures, frameAt(pictures, before), before);
    await put(main, pictures, frameAt(pictures, state.epoch), state.epoch);
    if (document.readyState === "complete") preload(pictures);
  };
}

/**
 * Sets up a section below the first view, whose figures are filled only when they come near the window or are printed.
 * @param {string} id of the section
 * @param {() => PictureSeries[]} current the series to show in it
 */
function setUpFollowing(id, current) {
  const section = byId(id);
  const holder = query(`#${id} .holder`);
  /** @type {Figure[]} */
  const figures = [];
  let near = false;
  const update = async () => {
    const list = current();
    section.hidden = list.length === 0;
    if (!near || !list.length) return;
    while (figures.length < list.length) figures.push(figure(holder));
    figures.forEach((fig, at) => {
      fig.box.hidden = at >= list.length;
    });
    await Promise.all(list.map((pictures, at) => put(figures[at], pictures, frameAt(pictures, state.epoch), null)));
  };
  const approach = () => {
    if (near) return;
    near = true;
    update();
  };
  const watcher = new IntersectionObserver(
    (entries) => {
      if (entries.some((entry) => entry.isIntersecting)) approach();
    },
    { rootMargin: "200px" },
  );
  watcher.observe(section);
  addEventListener("beforeprint", approach); // browsers wait for the images that a page has when this ends
  return update;
}
