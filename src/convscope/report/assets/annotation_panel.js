"use strict";
// Beside the photograph: the list of parts, the progress, and the files that are saved and loaded.

/** @param {string} id @param {() => void} act */
const onClick = (id, act) => byId(id).addEventListener("click", act);
const count = (/** @type {number} */ number, /** @type {string} */ word) =>
  `${number} ${word}${number === 1 ? "" : word.endsWith("x") ? "es" : "s"}`;

function drawPanel() {
  drawParts();
  const { all, some } = progressCounts();
  const total = work.annotation.photographs.length;
  const here = work.marking.parts.length - missingParts().length;
  byId("progress", HTMLProgressElement).max = total;
  byId("progress", HTMLProgressElement).value = all;
  const words = `${here} of ${count(work.marking.parts.length, "part")} · ${all} of ${total} photographs complete`;
  byId("counts").textContent = words + (some ? `, ${some} begun` : "");
  byId("undo", HTMLButtonElement).disabled = !work.past.length;
  byId("redo", HTMLButtonElement).disabled = !work.future.length;
  byId("clear", HTMLButtonElement).disabled = !marksOf().length;
  byId("previous", HTMLButtonElement).disabled = work.place === 0;
  byId("next", HTMLButtonElement).disabled = work.place === total - 1;
  byId("unfinished", HTMLButtonElement).disabled = all === total;
  byId("photo").classList.toggle("draws", Boolean(work.marking.parts[work.part]?.box));
  drawFiles();
}

function drawParts() {
  const list = byId("parts");
  const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.part : undefined;
  list.replaceChildren();
  work.marking.parts.forEach((part, number) => {
    const row = html("li", {}, list);
    const pressed = String(number === work.part);
    const button = html(
      "button",
      { type: "button", class: "choice", "aria-pressed": pressed, "data-part": number },
      row,
    );
    if (number < 9) html("kbd", {}, button, String(number + 1));
    html("i", { class: part.box ? "box" : "", style: `--color:${COLORS[number % COLORS.length]}` }, button);
    html("span", {}, button, part.name);
    const marks = marksOf().filter((mark) => isOf(part, mark));
    const place = marks.length > 1 ? `${marks.length} boxes` : marks.map(({ x, y }) => numbers(x, y)).join();
    html("small", {}, button, marks.length ? `✓ ${place}` : part.box ? "box" : "point");
    button.addEventListener("click", () => choosePart(number));
    if (focused === String(number)) button.focus();
    const edits = { type: "button", class: "quiet" };
    const rename = html("button", { ...edits, "aria-label": `Rename ${part.name}`, title: "Rename" }, row, "✎");
    rename.addEventListener("click", () => renamePart(row, number));
    const attributes = {
      ...edits,
      "aria-label": `Remove ${part.name} from this photograph`,
      title: "Remove from this photograph",
    };
    const remove = html("button", attributes, row, "✕");
    remove.disabled = !marks.length;
    remove.addEventListener("click", () => {
      work.part = number;
      setMarks(marksOf().filter((mark) => !isOf(part, mark)));
      redraw(`${part.name} removed from this photograph.`);
    });
  });
}

/** @param {number} number */
function choosePart(number) {
  const part = work.marking.parts[number];
  if (!part) return;
  work.part = number;
  stage.corner = null;
  redraw(`${part.name}: ${part.box ? "drag a box around it" : "click on it"}.`);
}

/** Puts a field for the new name in place of the row, and a button that removes the part. @param {HTMLElement} row @param {number} number */
function renamePart(row, number) {
  const part = work.marking.parts[number];
  const field = html("input", { value: part.name, "aria-label": `New name of ${part.name}` });
  const remove = html("button", { type: "button" }, null, "Remove part");
  row.replaceChildren(field, remove);
  field.select();
  const rename = () => {
    const name = field.value.trim();
    const refusal = name === part.name ? "" : refusedName(name, part.box);
    if (!refusal && name !== part.name) changePart(number, name);
    redraw(refusal || (name === part.name ? "" : `${part.name} is ${name} now, on all photographs.`));
  };
  remove.addEventListener("click", () => {
    changePart(number, null);
    redraw(`${part.name} and its marks on all photographs removed; Undo brings them back.`);
  });
  row.addEventListener("keydown", (event) => {
    if (event.key === "Escape") redraw("");
    if (event.key === "Enter" && event.target === field) rename();
  });
  row.addEventListener("focusout", ({ relatedTarget }) => {
    if (field.isConnected && relatedTarget !== field && relatedTarget !== remove) rename();
  });
}

/** @param {SubmitEvent} event */
function addPart(event) {
  event.preventDefault();
  const name = byId("name", HTMLInputElement).value.trim();
  const box = event.submitter instanceof HTMLButtonElement && event.submitter.value === "box";
  const refusal = refusedName(name, box);
  if (refusal) return redraw(refusal);
  change({ parts: [...work.marking.parts, { name, box }] });
  byId("name", HTMLInputElement).value = "";
  choosePart(work.marking.parts.length - 1);
}

const hasWholePaths = () => /^([a-z]:)?[/\\]/i.test(work.annotation.root);
/** The folder of the photographs in a command: browsers tell no more of a chosen one than its last name. */
const folderPath = () => {
  const { root } = work.annotation;
  return hasWholePaths() ? root.replace(/[/\\]$/, "") : joined(["/where/it/is", root], "/");
};
const isWhole = () => hasWholePaths() && byId("whole", HTMLInputElement).checked;

function drawFiles() {
  byId("whole-line").hidden = !hasWholePaths();
  for (const [boxes, id, word] of /** @type {const} */ ([
    [false, "save-parts", "point"],
    [true, "save-boxes", "box"],
  ])) {
    const number = Object.values(work.marking.marks)
      .flat()
      .filter((mark) => isBox(mark) === boxes).length;
    const button = byId(id, HTMLButtonElement);
    button.textContent = `Save ${boxes ? "boxes" : "parts"}.csv (${count(number, word)})`;
    button.disabled = !number;
  }
}

/** Saves a file of points or of boxes as the browser saves files, and says where to put it. @param {boolean} boxes */
function saveCsv(boxes) {
  const name = boxes ? "boxes.csv" : "parts.csv";
  const address = URL.createObjectURL(new Blob([savedCsv(boxes, isWhole())], { type: "text/csv" }));
  html("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
  const { root, program } = work.annotation;
  const after = byId("after");
  const words = isWhole()
    ? "The file is where your browser saves files. Then, for example:"
    : `Put ${name} into the folder ${root || "of the photographs"} (its paths begin there). Then, for example:`;
  after.replaceChildren(words);
  const path = `${isWhole() ? "/where/it/is" : folderPath()}/${name}`;
  for (const use of boxes ? ["occlude.boxes", "dissect.parts"] : ["correspond.parts", "dissect.parts"]) {
    const job = use.slice(0, use.indexOf("."));
    html("code", {}, after, `${program} job=${job} ckpt=outputs/train/<run> ${quoted(`${use}=${path}`)}`);
  }
  redraw(`${name} saved.`);
}

/** Adds the marks of csv files to those that are there. @param {FileList} files */
async function loadCsvs(files) {
  for (const file of files) {
    try {
      const { marks, photographs, elsewhere } = mergeMarks(marksOfCsv(decodedCsv(await file.arrayBuffer())));
      const others = elsewhere
        ? `; marks of ${count(elsewhere, "photograph")} that are not on this page are kept, and saved again`
        : "";
      redraw(
        `${file.name}: ${count(marks, "mark")} on ${count(photographs, "photograph")}${others}. ${chooseMissing()}`,
      );
    } catch (error) {
      redraw(`${file.name} cannot be taken: ${error instanceof Error ? error.message : error}.`);
    }
  }
}

function setUpPanel() {
  byId("add", HTMLFormElement).addEventListener("submit", addPart);
  onClick("save-parts", () => saveCsv(false));
  onClick("save-boxes", () => saveCsv(true));
  onClick("load", () => byId("csv").click());
  const field = byId("csv", HTMLInputElement);
  field.addEventListener("change", async () => {
    if (field.files) await loadCsvs(field.files);
    field.value = "";
  });
}
