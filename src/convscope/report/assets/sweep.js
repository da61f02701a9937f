"use strict";
// Sorts the table and lays the curves of ticked runs over each other. The state stands in the address:
// #sort=val/top1&order=descending&all=1&run=0_zfnet&run=1_zfnet ("run=" alone: none is ticked)

/** @typedef {Omit<ChartSpec, "lines"> & {column: string}} ColumnSpec a chart of one column, a line for each run */

const body = query("#table tbody", HTMLTableSectionElement);
const rows = new Map([...body.rows].map((row) => [row.dataset.run ?? "", row]));
// data.js and this page may have been written one after the other
const runs = (window.SWEEP ?? { runs: [] }).runs.filter((run) => rows.has(run.id));
const BEST = 6;
const CHARTED = /^(val\/(top1|loss)$|(stayed|dead)\/)/; // columns with titles of their own
const state = {
  sort: "number",
  order: /** @type {Order} */ ("ascending"),
  all: false,
  ticked: /** @type {string[]} */ ([]),
};

// ---------------------------------------------------------------- ticked runs

const tickedRuns = () => runs.filter((run) => state.ticked.includes(run.id));

/**
 * The number of each ticked run's style, which it keeps while it is ticked.
 * @type {Map<string, number>}
 */
const styles = new Map();
function chooseStyles() {
  for (const id of [...styles.keys()]) if (!state.ticked.includes(id)) styles.delete(id);
  for (const run of tickedRuns()) {
    const used = new Set(styles.values());
    let number = 0;
    while (used.has(number)) number += 1;
    if (!styles.has(run.id)) styles.set(run.id, number);
  }
}

/** @param {string} id */
const styleOf = (id) => styles.get(id) ?? 0;

/** @param {HTMLTableRowElement} row */
const tickOf = (row) => query("input", HTMLInputElement, row);

function showTicks() {
  for (const [id, row] of rows) {
    tickOf(row).checked = state.ticked.includes(id);
    row.classList.toggle("ticked", state.ticked.includes(id));
  }
  const legend = query(".legend");
  legend.replaceChildren();
  for (const run of tickedRuns()) {
    const item = html("li", {}, legend);
    sample(styleOf(run.id), item);
    html("b", {}, item, String(run.number));
    item.append(` ${run.name}`);
  }
}

/**
 * The charts of the ticked runs: accuracy and loss, columns that this page does not know, what of the top-9 stayed, and
 * dead maps.
 * @returns {ColumnSpec[]}
 */
function chartSpecs() {
  const chosen = tickedRuns();
  const columns = [...new Set(chosen.flatMap((run) => Object.keys(run.columns)))];
  const after = (/** @type {string} */ prefix) => columns.filter((column) => column.startsWith(prefix));
  const valuesOf = (/** @type {string} */ column) => chosen.flatMap((run) => run.columns[column] ?? []);
  const layers = new Set(
    ["stayed/", "dead/"].flatMap((prefix) => after(prefix).map((name) => name.slice(prefix.length))),
  );
  const dead = after("dead/").filter((column) => valuesOf(column).some((value) => Number(value) > 0));
  return [
    { title: "Validation accuracy, top-1", column: "val/top1", share: true },
    { title: "Validation loss", column: "val/loss", apart: true },
    ...columns.filter((column) => !CHARTED.test(column)).map((column) => otherSpec(column, valuesOf(column), layers)),
    ...after("stayed/").map((column) => ({
      title: `Settling of ${column.slice(7)}: top-9 images that stayed`,
      column,
      share: true,
      whole: true,
      rule: 0.5,
    })),
    ...dead.map((column) => ({ title: `Dead maps of ${column.slice(5)}`, column, share: true })),
  ];
}

/**
 * The chart of a column that this page does not know.
 * @param {string} column
 * @param {Column} values of all ticked runs
 * @param {Set<string>} layers names of the nets' layers
 * @returns {ColumnSpec}
 */
function otherSpec(column, values, layers) {
  const { group, line, split } = columnKind(column);
  const words = wordsOf(group);
  const ofPart = layers.has(line) ? `${words} of ${line}` : `${words}: ${wordsOf(line)}`;
  const title = split ? `${line} ${words}` : group === column ? words : ofPart;
  return { title: capital(title), column, share: isShare(group, values), ...fit(group, values) };
}

function showCurves() {
  const chosen = tickedRuns();
  const holder = query("#curves .charts");
  const epochs = [...new Set(chosen.flatMap((run) => run.epochs))].sort((a, b) => a - b);
  holder.replaceChildren();
  for (const { column, ...spec } of chartSpecs()) {
    const lines = chosen.map((run) => lineOf(run, column, epochs)).filter((line) => line.values.some(isPresent));
    if (lines.length) overlay(holder, { ...spec, lines }, epochs);
  }
  byId("curves").hidden = !holder.children.length;
}

/**
 * @param {SweepRun} run
 * @param {string} column
 * @param {number[]} epochs of all ticked runs
 * @returns {Line}
 */
function lineOf(run, column, epochs) {
  const values = new Map(run.epochs.map((epoch, at) => [epoch, run.columns[column]?.[at] ?? null]));
  const inOrder = epochs.map((epoch) => values.get(epoch) ?? null);
  return { name: run.name, short: String(run.number), number: styleOf(run.id), values: inOrder };
}

// Two ticked runs with maps: the page of the newer one knows of the older one.
function showCompare() {
  const holder = byId("compare");
  holder.replaceChildren();
  const pair = tickedRuns().filter((run) => run.written !== null);
  const [newer, older] = pair.sort((a, b) => Number(b.written) - Number(a.written));
  if (state.ticked.length !== 2 || pair.length !== 2 || newer.within !== older.within) return;
  const place = `beside=${encodeURIComponent(`run:${older.folder}`)}`;
  const address = `../${newer.address}/report/index.html#${place}`;
  html("a", { href: address }, holder, `Maps of ${newer.name} beside those of ${older.name}`);
}

// ---------------------------------------------------------------- state and address

let sortedBy = ""; // a thousand rows are put in order only when the order changes

function show() {
  const order = `${state.sort} ${state.order}`;
  if (order !== sortedBy) sortTable(byId("table", HTMLTableElement), state.sort, state.order);
  sortedBy = order;
  for (const cell of queryAll(".more")) cell.hidden = !state.all;
  byId("all").setAttribute("aria-pressed", String(state.all));
  chooseStyles();
  showTicks();
  showCompare();
}

/** @param {Partial<typeof state>} values */
function change(values) {
  Object.assign(state, values);
  show();
  if ("ticked" in values) showCurves();
  const words = new URLSearchParams({ sort: state.sort, order: state.order });
  if (state.all) words.set("all", "1");
  for (const id of state.ticked.length ? state.ticked : [""]) words.append("run", id);
  history.replaceState(null, "", `#${words}`);
}

function bestRuns() {
  const column = columnOf(query('#table th[data-key="val/top1"]'));
  const ids = sorted([...body.rows], column, "descending").map((row) => row.dataset.run ?? "");
  return ids.filter((id) => runs.some((run) => run.id === id)).slice(0, BEST);
}

// An address that names no run ticks the best ones.
function recall() {
  const words = new URLSearchParams(location.hash.slice(1));
  const sort = words.get("sort") ?? "";
  const keys = headingsOf(byId("table", HTMLTableElement)).map((heading) => heading.dataset.key);
  state.sort = keys.includes(sort) ? sort : "number";
  state.order = words.get("order") === "descending" ? "descending" : "ascending";
  state.all = words.get("all") === "1";
  const ids = words.has("run") ? words.getAll("run") : bestRuns();
  state.ticked = ids.filter((id) => runs.some((run) => run.id === id));
}

function setUpTools() {
  const more = queryAll("#table th.more").length;
  query(".tools").hidden = false;
  byId("all").hidden = more === 0;
  byId("all").textContent = `All ${more} settings that differ`;
  byId("all").addEventListener("click", () => change({ all: !state.all }));
  byId("best").addEventListener("click", () => change({ ticked: bestRuns() }));
  byId("none").addEventListener("click", () => change({ ticked: [] }));
  for (const [id, row] of rows) {
    const tick = tickOf(row);
    tick.hidden = !runs.some((run) => run.id === id);
    tick.addEventListener("change", () => {
      const rest = state.ticked.filter((ticked) => ticked !== id);
      change({ ticked: tick.checked ? [...rest, id] : rest });
    });
  }
}

function setUpLinks() {
  for (const link of queryAll("nav a", HTMLAnchorElement))
    link.addEventListener("click", (event) => {
      event.preventDefault(); // the address is the state's
      query(link.hash).scrollIntoView();
    });
}

function showAddress() {
  recall();
  show();
  showCurves();
}

setUpTheme();
setUpLinks();
setUpSorting(byId("table", HTMLTableElement), (sort, order) => change({ sort, order }));
for (const table of queryAll("#seeds table", HTMLTableElement))
  setUpSorting(table, (key, order) => sortTable(table, key, order));
setUpTools();
showAddress();
addEventListener("hashchange", showAddress);
