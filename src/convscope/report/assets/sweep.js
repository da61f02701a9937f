"use strict";
// Sorts the table, lays the curves of ticked runs over each other. What is seen stands in the address:
// #sort=val/top1&order=descending&all=1&run=0_zfnet&run=1_zfnet ("run=" alone: none is ticked)

const runs = (window.SWEEP || { runs: [] }).runs;
const $ = (id) => document.getElementById(id);
const body = document.querySelector("#table tbody");
const rows = new Map([...body.rows].map((row) => [row.dataset.run, row]));
const known = runs.filter((run) => rows.has(run.id)); // data.js and this page may have been written one after the other
const BEST = 6;
const state = { sort: "number", order: "ascending", all: false, ticked: [] };

// ---------------------------------------------------------------- sorting

const columnOf = (heading) => [...heading.parentNode.children].indexOf(heading);
const keyOf = (row, column) => row.children[column].dataset.order ?? "";

// Numbers by size, words by letters, what is missing last in either order; the same stay as they stood.
function sorted(list, column, order) {
  const sign = order === "ascending" ? 1 : -1;
  return list.sort((one, other) => {
    const [a, b] = [keyOf(one, column), keyOf(other, column)];
    if (a === "" || b === "") return (a === "") - (b === "");
    const [x, y] = [Number(a), Number(b)];
    return sign * (Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y);
  });
}

function sortTable(table, key, order) {
  const headings = [...table.tHead.rows[0].cells].filter((each) => each.dataset.key);
  const chosen = headings.find((each) => each.dataset.key === key) || headings[0];
  for (const each of headings) each.setAttribute("aria-sort", each === chosen ? order : "none");
  table.tBodies[0].append(...sorted([...table.tBodies[0].rows], columnOf(chosen), order));
}

function setUpSorting(table, sort) {
  for (const heading of table.querySelectorAll("th[data-key]")) {
    const button = html("button", { type: "button", class: "sort" }, null, heading.textContent);
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const first = heading.dataset.first, now = heading.getAttribute("aria-sort");
      sort(heading.dataset.key, now !== first ? first : first === "ascending" ? "descending" : "ascending");
    });
  }
}

// ---------------------------------------------------------------- ticked runs

const ticked = () => known.filter((run) => state.ticked.includes(run.id));

// A style for each ticked run, kept while it is ticked.
const styles = new Map();
function styled() {
  for (const id of [...styles.keys()]) if (!state.ticked.includes(id)) styles.delete(id);
  for (const run of ticked()) {
    if (styles.has(run.id)) continue;
    const taken = new Set(styles.values());
    styles.set(run.id, [...Array(taken.size + 1).keys()].find((number) => !taken.has(number)));
  }
}

function showTicks() {
  for (const [id, row] of rows) {
    row.querySelector("input").checked = state.ticked.includes(id);
    row.classList.toggle("ticked", state.ticked.includes(id));
  }
  const legend = document.querySelector(".legend");
  legend.replaceChildren();
  for (const run of ticked()) {
    const item = html("li", {}, legend);
    sample(styles.get(run.id), item);
    html("b", {}, item, String(run.number));
    item.append(` ${run.name}`);
  }
}

function specs() {
  const chosen = ticked(), has = (prefix) => [...new Set(chosen.flatMap((run) => Object.keys(run.columns).filter((name) => name.startsWith(prefix))))];
  const known = /^(val\/(top1|loss)$|(stayed|dead)\/)/;
  return [
    { title: "Validation accuracy, top-1", column: "val/top1", share: true },
    { title: "Validation loss", column: "val/loss" },
    ...has("").filter((column) => !known.test(column)).map((column) => otherSpec(column, chosen)),
    ...has("stayed/").map((column) => ({ title: `Settling of ${column.slice(7)}: top-9 images that stayed`, column, share: true, whole: true, rule: 0.5 })),
    ...has("dead/").filter((column) => chosen.some((run) => (run.columns[column] || []).some((value) => value > 0)))
      .map((column) => ({ title: `Dead maps of ${column.slice(5)}`, column, share: true })),
  ];
}

// A column that this page has not been told of.
function otherSpec(column, runs) {
  const { group, line, split } = columnKind(column), values = runs.flatMap((run) => run.columns[column] || []);
  const title = capital(split ? `${line} ${wordsOf(group)}` : group === column ? wordsOf(group) : `${wordsOf(group)} of ${line}`);
  return { title, column, share: isShare(group, values) };
}

function showCurves() {
  const chosen = ticked(), holder = document.querySelector(".charts");
  const epochs = [...new Set(chosen.flatMap((run) => run.epochs))].sort((a, b) => a - b);
  holder.replaceChildren();
  for (const spec of specs()) {
    const lines = chosen.map((run) => {
      const values = new Map(run.epochs.map((epoch, at) => [epoch, (run.columns[spec.column] || [])[at] ?? null]));
      return { name: run.name, short: String(run.number), number: styles.get(run.id), values: epochs.map((epoch) => values.get(epoch) ?? null) };
    }).filter((line) => line.values.some((value) => value !== null));
    if (lines.length) overlay(holder, { ...spec, lines }, epochs);
  }
  $("curves").hidden = !holder.children.length;
}

// Two ticked runs with maps: the page of the newer one knows of the older one.
function showCompare() {
  const pair = ticked().filter((run) => run.written !== null), [one, other] = pair.sort((a, b) => b.written - a.written);
  $("compare").replaceChildren();
  if (state.ticked.length !== 2 || pair.length !== 2 || one.within !== other.within) return;
  const address = `../${one.address}/report/index.html#beside=${encodeURIComponent(`run:${other.folder}`)}`;
  html("a", { href: address }, $("compare"), `Maps of ${one.name} beside those of ${other.name}`);
}

// ---------------------------------------------------------------- state and address

function show() {
  sortTable($("table"), state.sort, state.order);
  for (const cell of document.querySelectorAll(".more")) cell.hidden = !state.all;
  $("all").setAttribute("aria-pressed", String(state.all));
  styled();
  showTicks();
  showCompare();
}

function change(values) {
  Object.assign(state, values);
  show();
  if ("ticked" in values) showCurves();
  const words = new URLSearchParams({ sort: state.sort, order: state.order, ...(state.all ? { all: "1" } : {}) });
  for (const id of state.ticked.length ? state.ticked : [""]) words.append("run", id);
  history.replaceState(null, "", `#${words}`);
}

function best() {
  const at = columnOf(document.querySelector('#table th[data-key="val/top1"]'));
  return sorted([...body.rows], at, "descending").filter((row) => known.some((run) => run.id === row.dataset.run)).slice(0, BEST).map((row) => row.dataset.run);
}

function recall() {
  const words = new URLSearchParams(location.hash.slice(1));
  const keys = [...document.querySelectorAll("#table th[data-key]")].map((each) => each.dataset.key);
  state.sort = keys.includes(words.get("sort")) ? words.get("sort") : "number";
  state.order = words.get("order") === "descending" ? "descending" : "ascending";
  state.all = words.get("all") === "1";
  state.ticked = words.has("run") ? words.getAll("run").filter((id) => known.some((run) => run.id === id)) : best();
}

function setUpTools() {
  const more = new Set([...document.querySelectorAll("#table th.more")]).size;
  document.querySelector(".tools").hidden = false;
  $("all").hidden = more === 0;
  $("all").textContent = `All ${more} settings that differ`;
  $("all").addEventListener("click", () => change({ all: !state.all }));
  $("best").addEventListener("click", () => change({ ticked: best() }));
  $("none").addEventListener("click", () => change({ ticked: [] }));
  for (const [id, row] of rows) {
    const box = row.querySelector("input");
    box.hidden = !known.some((run) => run.id === id);
    box.addEventListener("change", () => change({ ticked: box.checked ? [...state.ticked, id] : state.ticked.filter((each) => each !== id) }));
  }
}

function setUpPage() {
  const root = document.documentElement.dataset;
  $("theme").addEventListener("click", () => {
    root.theme = root.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("convscope-theme", root.theme); } catch { /* not allowed on this page */ }
  });
  for (const link of document.querySelectorAll("nav a")) link.addEventListener("click", (event) => {
    event.preventDefault(); // the address is the state's
    document.querySelector(link.getAttribute("href")).scrollIntoView();
  });
}

setUpPage();
setUpSorting($("table"), (sort, order) => change({ sort, order }));
for (const table of document.querySelectorAll("#seeds table")) setUpSorting(table, (key, order) => sortTable(table, key, order));
setUpTools();
recall();
show();
showCurves();
addEventListener("hashchange", () => { recall(); show(); showCurves(); });
