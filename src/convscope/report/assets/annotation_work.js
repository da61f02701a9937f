"use strict";
// The marks on all photographs: changes that can be undone.

/**
 * marks: of the photographs, by path. bytes: the sizes of the files that were marked, where they were chosen on the page.
 * others: marks that are set aside, of other files of the same path, by size and path.
 * @typedef {{ parts: MarkedPart[], marks: Record<string, PlacedMark[]>, bytes: Record<string, number>, others: Record<string, PlacedMark[]> }} Marking
 */

const work = {
  /** @type {Annotation} */
  annotation: { root: "", folder: "", photographs: [], parts: [], program: "" },
  /** Never changed in place, so that the past can be kept. @type {Marking} */
  marking: { parts: [], marks: {}, bytes: {}, others: {} },
  /** @type {{ marking: Marking, place: number }[]} */
  past: [],
  /** @type {{ marking: Marking, place: number }[]} */
  future: [],
  place: 0, // of the photograph on the screen
  part: 0, // that the next click or drag marks
  isStored: true,
};

/** The photograph on the screen. */
const photograph = () => work.annotation.photographs[work.place];

/** @param {string} [path] @returns {PlacedMark[]} */
const marksOf = (path = photograph().path) => work.marking.marks[path] ?? [];

/** @param {MarkedPart} part @param {PlacedMark} mark */
const isOf = (part, mark) => part.name === mark.part && part.box === isBox(mark);

/** The parts that a photograph lacks. @param {string} [path] */
function missingParts(path) {
  const marks = marksOf(path);
  return work.marking.parts.filter((part) => !marks.some((mark) => isOf(part, mark)));
}

/** How many photographs have all parts, and how many only some. */
function progressCounts() {
  let all = 0;
  let some = 0;
  for (const { path } of work.annotation.photographs) {
    const marked = work.marking.parts.length - missingParts(path).length;
    if (marked && marked === work.marking.parts.length) all += 1;
    else if (marked) some += 1;
  }
  return { all, some };
}

/** Replaces the marking; `undo` brings back the old one. @param {Partial<Marking>} changes */
function change(changes) {
  work.past.push({ marking: work.marking, place: work.place });
  work.future = [];
  work.marking = { ...work.marking, ...changes };
  work.part = Math.max(0, Math.min(work.part, work.marking.parts.length - 1));
  rememberMarking();
}

/** @param {{ marking: Marking, place: number }[]} from @param {{ marking: Marking, place: number }[]} to */
function travel(from, to) {
  const state = from.pop();
  if (!state) return false;
  to.push({ marking: work.marking, place: state.place });
  Object.assign(work, state);
  work.part = Math.max(0, Math.min(work.part, work.marking.parts.length - 1));
  rememberMarking();
  return true;
}
const undo = () => travel(work.past, work.future);
const redo = () => travel(work.future, work.past);

/** Changes the marks of the photograph on the screen. @param {PlacedMark[]} marks */
function setMarks(marks) {
  const { path, file } = photograph();
  const bytes = file ? { ...work.marking.bytes, [path]: file.size } : work.marking.bytes;
  change({ marks: { ...work.marking.marks, [path]: marks }, bytes });
}

/** Adds a mark; a point takes the place of the earlier point of its part. @param {PlacedMark} mark */
function addMark(mark) {
  const rest = marksOf().filter((other) => isBox(mark) || isBox(other) || other.part !== mark.part);
  const columns = Object.keys(marksOf()[0]?.more ?? {});
  const shared = columns.filter((name) => marksOf().every((other) => other.more?.[name] === marksOf()[0].more?.[name]));
  const more = Object.fromEntries(shared.map((name) => [name, marksOf()[0].more?.[name] ?? ""]));
  setMarks([...rest, columns.length ? { ...mark, more } : mark]);
}

/** Why a name cannot be that of a part; "" where it can. @param {string} name @param {boolean} box */
function refusedName(name, box) {
  if (!name) return "A part needs a name.";
  const isTaken = work.marking.parts.some((part) => part.name === name && part.box === box);
  return isTaken ? `There is a ${box ? "box" : "point"} ${name} already.` : "";
}

/** Renames a part, or removes it with its marks where the name is null. @param {number} number @param {string | null} name */
function changePart(number, name) {
  const part = work.marking.parts[number];
  const parts = work.marking.parts.flatMap((other) => (other !== part ? [other] : name ? [{ ...part, name }] : []));
  const marks = Object.entries(work.marking.marks).map(([path, list]) => {
    const changed = list.flatMap((mark) => (!isOf(part, mark) ? [mark] : name ? [{ ...mark, part: name }] : []));
    return [path, changed];
  });
  change({ parts, marks: Object.fromEntries(marks) });
}

/** Adds the parts of marks to a list that lacks them. @param {PlacedMark[]} marks @param {MarkedPart[]} parts */
function addPartsOf(marks, parts) {
  for (const mark of marks)
    if (!parts.some((part) => isOf(part, mark))) parts.push({ name: mark.part, box: isBox(mark) });
}

/**
 * Adds the marks of a csv; its points take the place of those that are there.
 * @param {Map<string, PlacedMark[]>} loaded
 */
function mergeMarks(loaded) {
  const match = photographOf(work.annotation.photographs, work.annotation.root);
  const marks = { ...work.marking.marks };
  const bytes = { ...work.marking.bytes };
  const parts = [...work.marking.parts];
  const sizes = new Map(work.annotation.photographs.map(({ path, file }) => [path, file?.size]));
  const counts = { marks: 0, photographs: 0, elsewhere: 0 };
  for (const [written, list] of loaded) {
    const path = match(written);
    if (path === null) counts.elsewhere += 1;
    else counts.photographs += 1;
    const target = path ?? written; // marks on photographs that are not on this page are saved again
    const text = (/** @type {PlacedMark} */ { more: _, ...mark }) => JSON.stringify(Object.entries(mark).sort());
    const replaces = (/** @type {PlacedMark} */ old, /** @type {PlacedMark} */ mark) =>
      isBox(old) || isBox(mark) ? text(old) === text(mark) : old.part === mark.part;
    const rest = (marks[target] ?? []).filter((old) => !list.some((mark) => replaces(old, mark)));
    marks[target] = [...rest, ...list];
    const size = sizes.get(target);
    if (size !== undefined) bytes[target] = size;
    counts.marks += list.length;
    addPartsOf(list, parts);
  }
  change({ parts, marks, bytes });
  return counts;
}

/**
 * The text of parts.csv or of boxes.csv. whole: with whole paths.
 * @param {boolean} boxes
 * @param {boolean} whole
 */
function savedCsv(boxes, whole) {
  const { photographs, root } = work.annotation;
  const paths = photographs.map(({ path }) => path);
  const elsewhere = Object.keys(work.marking.marks).filter((path) => !paths.includes(path));
  const order = (/** @type {PlacedMark} */ mark) => work.marking.parts.findIndex((part) => isOf(part, mark));
  const rows = [...paths, ...elsewhere].map((path) => {
    const isRelative = !/^([a-z]:)?[/\\]/i.test(path);
    const written = whole && isRelative ? `${root.replace(/[/\\]$/, "")}/${path}` : path;
    const marks = [...marksOf(path)].sort((one, two) => order(one) - order(two));
    return /** @type {[string, PlacedMark[]]} */ ([written, marks]);
  });
  return csvOfMarks(rows, boxes);
}
