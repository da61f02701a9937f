"use strict";
// Sorting a table by a click on a heading, or with the keys. The html of its cells says what they are sorted by.

/** @typedef {"ascending" | "descending"} Order */

/** @param {Element} heading */
const columnOf = (heading) => [.../** @type {Element} */ (heading.parentNode).children].indexOf(heading);

/**
 * @param {HTMLTableRowElement} row
 * @param {number} column
 */
const keyOf = (row, column) => row.cells[column].dataset.order ?? "";

/**
 * Sorts numbers by size and words by letters; empty cells come last in either order, equal ones stay as they stood.
 * @param {HTMLTableRowElement[]} list
 * @param {number} column
 * @param {Order} order
 */
function sorted(list, column, order) {
  const sign = order === "ascending" ? 1 : -1;
  return list.sort((first, second) => {
    const [a, b] = [keyOf(first, column), keyOf(second, column)];
    if (a === "" || b === "") return Number(a === "") - Number(b === "");
    const [x, y] = [Number(a), Number(b)];
    const words = Number.isNaN(x) || Number.isNaN(y);
    return sign * (words ? a.localeCompare(b, "en", { numeric: true }) : x - y);
  });
}

/** @param {HTMLTableElement} table */
const headingsOf = (table) => [...table.querySelectorAll("th")].filter((heading) => heading.dataset.key);

/**
 * @param {HTMLTableElement} table
 * @param {string} key of a column; another is read as the first column's
 * @param {Order} order
 */
function sortTable(table, key, order) {
  const headings = headingsOf(table);
  const chosen = headings.find((heading) => heading.dataset.key === key) ?? headings[0];
  for (const heading of headings) heading.setAttribute("aria-sort", heading === chosen ? order : "none");
  table.tBodies[0].append(...sorted([...table.tBodies[0].rows], columnOf(chosen), order));
}

/**
 * @param {HTMLTableElement} table
 * @param {(key: string, order: Order) => void} sort
 */
function setUpSorting(table, sort) {
  for (const heading of headingsOf(table)) {
    const button = html("button", { type: "button", class: "sort" }, null, heading.textContent ?? "");
    heading.replaceChildren(button);
    const first = heading.dataset.first === "descending" ? "descending" : "ascending";
    button.addEventListener("click", () => {
      const turned = first === "ascending" ? "descending" : "ascending";
      sort(heading.dataset.key ?? "", heading.getAttribute("aria-sort") === first ? turned : first);
    });
  }
}
