"use strict";
// The page as a whole: photographs that the program named, or of a folder that is chosen; from one to the next; keys.

const ONWARD = 450; // milliseconds for which the last mark is seen before the next photograph
const IMAGE = /\.(jpe?g|jfif|png|gif|webp|bmp|avif|heic|heif|tiff?|jp2|jxl)$/i;

/** Draws what may have changed, and says what happened. @param {string} words */
function redraw(words) {
  drawMarks();
  drawPanel();
  byId("status").textContent = words;
  const warning = work.isStored
    ? ""
    : "This browser remembers nothing on this page: save the files before you close it.";
  if (warning) trouble(warning);
}

/** @param {string} words */
function trouble(words) {
  byId("trouble").textContent = words;
  byId("trouble").hidden = !words;
}

/** Shows a photograph. @param {number} place @param {string} [words] */
function show(place, words) {
  const { photographs } = work.annotation;
  work.place = Math.max(0, Math.min(photographs.length - 1, place || 0));
  Object.assign(stage, { isReady: false, zoom: 1, corner: null });
  gesture = null;
  const { path } = photograph();
  byId("number", HTMLInputElement).value = String(work.place + 1);
  byId("path").textContent = path;
  byId("stage").setAttribute("aria-label", `Photograph ${path}; Enter for marking by keyboard`);
  byId("photo").hidden = true;
  trouble("");
  rememberPath();
  const image = byId("image", HTMLImageElement);
  image.alt = `photograph ${path}`;
  image.src = sourceOf(work.place);
  redraw(joined([words, `Photograph ${work.place + 1} of ${photographs.length}. ${chooseMissing()}`], " "));
}

/** The address of a photograph's file. @param {number} place */
function sourceOf(place) {
  const chosen = work.annotation.photographs[place];
  chosen.source ??= chosen.file ? URL.createObjectURL(chosen.file) : "";
  return chosen.source;
}

async function loaded() {
  const image = byId("image", HTMLImageElement);
  const chosen = photograph();
  const isTurned = chosen.file && (await isStoredTurned(chosen.file));
  if (chosen !== photograph() || !image.naturalWidth) return; // another one meanwhile, or this one anew
  if (isTurned) return failed("as it is turned by its EXIF");
  chosen.width ??= image.naturalWidth;
  chosen.height ??= image.naturalHeight;
  const shapes = [chosen.width / chosen.height, image.naturalWidth / image.naturalHeight];
  if (Math.abs(Math.log(shapes[0] / shapes[1])) > 0.1)
    return trouble(`This browser turns ${chosen.path} another way than the program does; type annotate.copy=true.`);
  stage.isReady = true;
  if (stage.cross) stage.cross = { x: within(stage.cross.x, chosen.width), y: within(stage.cross.y, chosen.height) };
  byId("photo").hidden = false;
  layOut(1);
  drawMarks();
  if (work.place + 1 < work.annotation.photographs.length) new Image().src = sourceOf(work.place + 1);
}

/** Says that the photograph cannot be marked. @param {string} [why] */
function failed(why = "") {
  const { path, file } = photograph();
  const command = `${work.annotation.program} job=annotate data=images ${quoted(`data.root=${folderPath()}`)}`;
  const remedy = file
    ? `${command} makes a page with copies that it can show`
    : "is the file still where it was? With annotate.copy=true the page shows copies";
  trouble(`This browser cannot show ${joined([path, why], " ")}; ${remedy}.`);
}

/** Begins with photographs. @param {Annotation} annotation */
function begin(annotation) {
  const bare = takePhotographs(annotation);
  byId("start").hidden = true;
  byId("work").hidden = false;
  byId("count").textContent = String(annotation.photographs.length);
  byId("number", HTMLInputElement).max = String(annotation.photographs.length);
  show(work.place, bareInWords(bare));
}

/** @param {number} number how many photographs were marked as other files */
function bareInWords(number) {
  if (!number) return "";
  return `${count(number, "photograph")} changed since: earlier marks are set aside, and Undo brings them back.`;
}

/** Takes over what another tab of the page has marked, so that none stores its own older marks in their place. */
function takeOver() {
  const marking = recalledMarking();
  if (byId("work").hidden || !work.isStored || !marking) return;
  gesture = stage.corner = null;
  redraw(joined(["Marks of another tab are taken over.", bareInWords(takeMarking(marking))], " "));
}

/** Takes the photographs that were chosen on the page. @param {FileList | null} files */
function choose(files) {
  const order = new Intl.Collator(undefined, { numeric: true });
  const chosen = [...(files ?? [])].filter((file) => !/(^|\/)\./.test(file.webkitRelativePath || file.name));
  const images = chosen.filter((file) => /^image\/(?!svg)/.test(file.type) || IMAGE.test(file.name));
  if (!images.length) return window.alert("No photographs are in there: jpg, png, webp, gif, bmp or avif.");
  const root = images[0].webkitRelativePath.split("/")[0];
  const photographs = images.map((file) => {
    const path = root ? file.webkitRelativePath.slice(root.length + 1) : file.name;
    return { path, source: null, width: null, height: null, file };
  });
  photographs.sort((one, two) => order.compare(one.path, two.path));
  const { parts, program } = window.ANNOTATION ?? { parts: [], program: "" };
  begin({ root, folder: `chosen ${root}`, photographs, parts, program });
}

/** @param {number} step */
function step(step) {
  const next = work.place + step;
  if (next >= 0 && next < work.annotation.photographs.length) show(next);
}

function toUnfinished() {
  const { photographs } = work.annotation;
  const order = photographs.map((_, number) => (work.place + 1 + number) % photographs.length);
  const next = order.find((place) => missingParts(photographs[place].path).length);
  if (next === undefined) redraw("All photographs have all parts.");
  else show(next);
}

/** Goes back or forth in time, to the photograph that changes. @param {() => boolean} travels @param {string} words */
function move(travels, words) {
  const { place } = work;
  if (!travels()) return redraw("Nothing more to undo or redo.");
  if (work.place !== place) show(work.place, words);
  else redraw(`${words} ${chooseMissing()}`);
}

/** @type {Record<string, () => void>} */
const KEYS = {
  ArrowRight: () => step(1),
  ArrowLeft: () => step(-1),
  n: () => step(1),
  p: () => step(-1),
  PageDown: () => step(1),
  PageUp: () => step(-1),
  u: toUnfinished,
  z: () => move(undo, "Undone."),
  Z: () => move(redo, "Done again."),
  "+": () => layOut(stage.zoom * 1.5),
  "=": () => layOut(stage.zoom * 1.5),
  "-": () => layOut(stage.zoom / 1.5),
  0: () => layOut(1),
};

/** @param {KeyboardEvent} event */
function pressed(event) {
  const { target } = event;
  const field = target instanceof HTMLInputElement && target.type !== "checkbox";
  if (byId("work").hidden || field || event.altKey) return;
  const letter = event.shiftKey ? event.key.toUpperCase() : event.key.toLowerCase(); // whatever CapsLock says
  const key = event.key.length === 1 ? letter : event.key;
  if (event.ctrlKey || event.metaKey) {
    if (!/^[zy]$/i.test(key)) return;
    KEYS[key === "z" ? "z" : "Z"]();
    return event.preventDefault();
  }
  const mark = markUnder(event);
  const isDone = mark ? markKey(event, mark) : target === byId("stage") && stage.isReady && crossKey(event);
  const digit = Number(event.key) || Number(/^Digit(\d)$/.exec(event.code)?.[1]); // by its place where it needs Shift
  if (!isDone && KEYS[key]) KEYS[key]();
  else if (!isDone && digit) choosePart(digit - 1);
  else if (!isDone) return;
  event.preventDefault();
}

function setUpPage() {
  setUpTheme();
  setUpPointers();
  setUpPanel();
  stage.changed = (words, isNew = false) => {
    redraw(words);
    const { place } = work;
    if (!isNew || missingParts().length || !byId("onward", HTMLInputElement).checked) return;
    setTimeout(() => work.place === place && !missingParts().length && step(1), ONWARD);
  };
  byId("image").addEventListener("load", loaded);
  byId("image").addEventListener("error", () => failed());
  onClick("previous", () => step(-1));
  onClick("next", () => step(1));
  onClick("unfinished", toUnfinished);
  onClick("undo", KEYS.z);
  onClick("redo", KEYS.Z);
  onClick("smaller", KEYS["-"]);
  onClick("larger", KEYS["+"]);
  onClick("zoom", KEYS[0]);
  onClick("clear", () => {
    setMarks([]);
    redraw(`All marks of this photograph removed. ${chooseMissing()}`);
  });
  const number = byId("number", HTMLInputElement);
  number.addEventListener("change", () => show(Number(number.value) - 1));
  for (const id of ["folder", "files"]) {
    onClick(`choose-${id}`, () => byId(id).click());
    byId(id, HTMLInputElement).addEventListener("change", () => choose(byId(id, HTMLInputElement).files));
  }
  document.addEventListener("keydown", pressed);
  window.addEventListener("storage", ({ key }) => key === MEMORY.marking + work.annotation.folder && takeOver());
  window.addEventListener("pageshow", ({ persisted }) => persisted && takeOver()); // it heard of no changes meanwhile
  window.addEventListener("beforeunload", (event) => work.isStored || !work.past.length || event.preventDefault());
  if (window.ANNOTATION?.photographs.length) begin(window.ANNOTATION);
}
setUpPage();
