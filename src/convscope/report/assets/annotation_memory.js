"use strict";
// What the browser remembers of a folder for the next time, and for other tabs: the marking, and the photograph on the screen.

const MEMORY = { marking: "convscope-annotate ", path: "convscope-annotate-path " }; // begin the keys of localStorage

/** Takes photographs, with what is remembered of their folder; returns what takeMarking does. @param {Annotation} annotation */
function takePhotographs(annotation) {
  Object.assign(work, { annotation, past: [], future: [], place: 0, part: 0 });
  work.marking = { parts: annotation.parts, marks: {}, bytes: {}, others: {} };
  const last = recall("path");
  work.place = Math.max(
    0,
    annotation.photographs.findIndex(({ path }) => path === last),
  );
  const marking = recalledMarking();
  return marking ? takeMarking(marking) : 0;
}

/**
 * Takes a marking that is remembered; `undo` does not go back beyond it. Returns how many photographs are bare, which
 * were marked as other files: `undo` gives them the marks of those.
 * @param {Marking} remembered
 */
function takeMarking(remembered) {
  const { marking, bare } = ofTheseFiles(remembered);
  const chosen = work.marking.parts[work.part];
  const part = marking.parts.findIndex(({ name, box }) => name === chosen?.name && box === chosen.box);
  Object.assign(work, { marking, part: Math.max(0, part), past: [], future: [] });
  if (bare.length) {
    const earlier = structuredClone(marking);
    for (const { path, size, marks } of bare) {
      earlier.marks[path] = marks;
      earlier.bytes[path] = size;
      addPartsOf(marks, earlier.parts);
    }
    work.past.push({ marking: earlier, place: bare[0].place });
  }
  return bare.length;
}

/**
 * The marking as it is for the files on the page. Browsers tell no more of a chosen folder than its last name: where a
 * file has another size than the one that was marked, the marks are set aside until that one is chosen again. bare:
 * the files that have no marks of their own then, with the earlier ones.
 * @param {Marking} remembered
 */
function ofTheseFiles(remembered) {
  const { parts, marks, bytes, others } = structuredClone({ ...remembered, others: remembered.others ?? {} });
  /** @type {{ place: number, path: string, size: number, marks: PlacedMark[] }[]} */
  const bare = [];
  for (const [place, { path, file }] of work.annotation.photographs.entries()) {
    if (!file || bytes[path] === undefined) continue;
    const [here, there] = [`${file.size} ${path}`, `${bytes[path]} ${path}`];
    if (here !== there && marks[path]?.length) {
      others[there] = marks[path];
      marks[path] = [];
    }
    if (marks[path]?.length) continue;
    if (others[here]) {
      marks[path] = others[here];
      bytes[path] = file.size;
      delete others[here];
      addPartsOf(marks[path], parts);
    } else if (others[there]) bare.push({ place, path, size: file.size, marks: others[there] });
  }
  return { marking: { parts, marks, bytes, others }, bare };
}

/** @returns {Marking | null} */
function recalledMarking() {
  const marking = recall("marking")?.marking;
  return Array.isArray(marking?.parts) && marking.marks ? marking : null;
}

/** What is remembered of the folder; null where that is nothing. @param {"marking" | "path"} what */
function recall(what) {
  try {
    return JSON.parse(localStorage.getItem(MEMORY[what] + work.annotation.folder) ?? "null");
  } catch {
    return null;
  }
}

/** Whether this can be remembered. @param {"marking" | "path"} what @param {unknown} content */
function stores(what, content) {
  try {
    localStorage.setItem(MEMORY[what] + work.annotation.folder, JSON.stringify(content));
    return true;
  } catch {
    return false; // not allowed on this page, or full
  }
}

function rememberMarking() {
  work.isStored = stores("marking", { marking: work.marking });
}

/** Apart from the marks: going from one photograph to the next changes none, and another tab may have newer ones. */
function rememberPath() {
  work.isStored &&= stores("path", photograph().path);
}
