"use strict";
// The list of all runs: sorted by its headings, cut down by words, brought up to date from the server by itself.

const UPDATE_MILLISECONDS = 5000;
const table = byId("table", HTMLTableElement);
const rows = table.tBodies[0];
const filter = byId("filter", HTMLInputElement);
const order = { key: "date", order: /** @type {Order} */ ("descending") };
let shownRows = "";

function show() {
  sortTable(table, order.key, order.order);
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const row of rows.rows) {
    const text = (row.textContent ?? "").toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    count += Number(!row.hidden);
  }
  const of = count === rows.rows.length ? "" : ` of ${rows.rows.length}`;
  const text = `${count}${of} runs and sweeps`;
  if (byId("count").textContent !== text) byId("count").textContent = text;
}

/** The rows as the server has them now; null without an answer. */
async function newRows() {
  try {
    const response = await fetch("/rows", { cache: "no-cache" });
    return response.ok ? await response.text() : null;
  } catch {
    return null;
  }
}

async function update() {
  if (!document.hidden) {
    const text = await newRows();
    byId("gone").hidden = text !== null;
    if (text !== null && text !== shownRows) {
      await released();
      put(text);
    }
  }
  setTimeout(update, UPDATE_MILLISECONDS);
}

/** @param {string} text */
function put(text) {
  const focused = document.activeElement?.getAttribute("href");
  shownRows = text;
  rows.innerHTML = text;
  show();
  for (const link of rows.querySelectorAll("a"))
    if (link.getAttribute("href") === focused) link.focus({ preventScroll: true });
}

setUpTheme();
setUpSorting(table, (key, direction) => {
  Object.assign(order, { key, order: direction });
  show();
});
filter.addEventListener("input", show);
show();
setTimeout(update, UPDATE_MILLISECONDS);
