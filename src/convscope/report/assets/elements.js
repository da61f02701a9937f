"use strict";
// Elements of the page: finding those of its html, making new ones, and the switch between light and dark.

/** @typedef {Record<string, string | number>} Attributes */

/**
 * The element of this id. Throws where the page has none of this kind.
 * @template {HTMLElement | SVGElement} [Kind=HTMLElement]
 * @param {string} id
 * @param {new () => Kind} [kind]
 * @returns {Kind}
 */
function byId(id, kind) {
  return query(`#${id}`, kind);
}

/**
 * The first element that matches. Throws where there is none of this kind.
 * @template {HTMLElement | SVGElement} [Kind=HTMLElement]
 * @param {string} selector
 * @param {new () => Kind} [kind]
 * @param {ParentNode} [root]
 * @returns {Kind}
 */
function query(selector, kind, root = document) {
  const element = root.querySelector(selector);
  if (element instanceof (kind ?? HTMLElement)) return /** @type {Kind} */ (element);
  throw new Error(`the page has no ${selector} of this kind`);
}

/**
 * All elements that match, in the order of the page.
 * @template {HTMLElement | SVGElement} [Kind=HTMLElement]
 * @param {string} selector
 * @param {new () => Kind} [_kind]
 * @returns {Kind[]}
 */
function queryAll(selector, _kind) {
  return /** @type {Kind[]} */ ([...document.querySelectorAll(selector)]);
}

/** Ends once nothing is pressed on the page: a click on what is put in anew between its press and its end is lost. */
async function released() {
  while (document.body.matches(":active")) await new Promise((done) => setTimeout(done, 50));
}

/**
 * A new element of html, put at the end of its parent if it has one.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {Element | null} [parent]
 * @param {string} [text]
 * @returns {HTMLElementTagNameMap[Tag]}
 */
function html(tag, attributes, parent, text) {
  return completed(document.createElement(tag), attributes, parent, text);
}

/**
 * A new element of a drawing, put at the end of its parent if it has one.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} attributes
 * @param {Element} parent
 * @param {string} [text]
 * @returns {SVGElementTagNameMap[Tag]}
 */
function svg(tag, attributes, parent, text) {
  return completed(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, parent, text);
}

/**
 * @template {Element} Kind
 * @param {Kind} element
 * @param {Attributes} [attributes]
 * @param {Element | null} [parent]
 * @param {string} [text]
 * @returns {Kind}
 */
function completed(element, attributes = {}, parent, text) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  if (text !== undefined) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

/**
 * The pen that draws on a canvas.
 * @param {HTMLCanvasElement} canvas
 * @returns {CanvasRenderingContext2D}
 */
function penOf(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}

/**
 * The parts of a line of text that are there, with a separator between them.
 * @param {(string | false | null | undefined)[]} parts
 * @param {string} separator
 */
const joined = (parts, separator) => parts.filter(Boolean).join(separator);

/**
 * A word of a command as a shell takes it.
 * @param {string} word
 */
const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);

// The script in the head chooses the theme before the first paint. A theme that was clicked is remembered.
function setUpTheme() {
  const root = document.documentElement.dataset;
  byId("theme").addEventListener("click", () => {
    root.theme = root.theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("convscope-theme", root.theme);
    } catch {
      /* not allowed on this page */
    }
  });
}
