"use strict";
// Marks on photographs to and from csv files, in the forms that data/annotations.py reads.

const SIDES = ["x0", "y0", "x1", "y1"];
const POINT = ["part", "x", "y"];

/**
 * The rows of a csv: cells without the blanks around them. Delimiters: comma, semicolon or tab; quotes as spreadsheets
 * write them.
 * @param {string} text
 * @returns {{ rows: string[][], comma: boolean }} comma: whether 1,5 is a number
 */
function readCsv(text) {
  const first = text.slice(0, text.search(/[\r\n]|$/));
  const count = (/** @type {string} */ sign) => first.split(sign).length;
  const delimiter = [",", ";", "\t"].reduce((best, sign) => (count(sign) > count(best) ? sign : best));
  /** @type {string[][]} */
  const rows = [[]];
  const cell = new RegExp(
    `[^\\S\\r\\n${delimiter}]*"((?:[^"]|"")*)"[^${delimiter}\\r\\n]*|([^${delimiter}\\r\\n]*)`,
    "y",
  );
  for (let place = 0; place <= text.length;) {
    cell.lastIndex = place;
    const match = cell.exec(text);
    const content = match?.[1]?.replaceAll('""', '"') ?? match?.[2] ?? "";
    rows[rows.length - 1].push(content.trim());
    place += match?.[0].length ?? 0;
    const end = text.startsWith("\r\n", place) ? 2 : 1;
    if (place < text.length && text[place] !== delimiter) rows.push([]);
    place += end;
  }
  return { rows: rows.filter((row) => row.some(Boolean)), comma: delimiter !== "," };
}

/**
 * The text of a csv file: UTF-8, UTF-16 by its mark, else Windows-1252.
 * @param {ArrayBuffer} bytes
 */
function decodedCsv(bytes) {
  const [first, second] = new Uint8Array(bytes);
  if (first === 0xff && second === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (first === 0xfe && second === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

/**
 * The marks of a csv by the path in their rows. Throws an Error, in words for people, where the file is none of ours.
 * @param {string} text
 * @returns {Map<string, PlacedMark[]>}
 */
function marksOfCsv(text) {
  const { rows, comma } = readCsv(text);
  const [header = [], ...body] = rows;
  const lower = header.map((name) => name.toLowerCase());
  const at = (/** @type {string} */ name) => lower.indexOf(name);
  if (at("path") < 0) throw new Error("it has no column path");
  const wide = header.flatMap((name, x) => {
    const y = /_x$/i.test(name) ? lower.indexOf(`${lower[x].slice(0, -2)}_y`) : -1;
    return y < 0 ? [] : [{ part: name.slice(0, -2), x, y }];
  });
  const form = SIDES.every((side) => at(side) >= 0) ? "box" : POINT.every((key) => at(key) >= 0) ? "point" : "wide";
  if (form === "wide" && !wide.length) throw new Error("it has neither part,x,y nor x0,y0,x1,y1 nor <part>_x,<part>_y");
  const own = new Set(["path", "part", ...(form === "box" ? SIDES : form === "point" ? POINT : [])]);
  if (form === "wide") wide.forEach(({ x, y }) => own.add(lower[x]).add(lower[y]));
  const others = header.flatMap((name, place) => (own.has(lower[place]) || !name ? [] : [{ name, place }]));
  /** @type {Map<string, PlacedMark[]>} */
  const marks = new Map();
  body.forEach((row, line) => {
    const path = row[at("path")];
    if (!path) throw new Error(`row ${line + 2} names no photograph`);
    const more = Object.fromEntries(others.map(({ name, place }) => [name, row[place] ?? ""]));
    const number = (/** @type {number} */ place) => {
      const value = Number(comma ? row[place].replace(",", ".") : row[place]);
      if (row[place] === "" || !Number.isFinite(value))
        throw new Error(`row ${line + 2}: “${row[place]}” is no number`);
      return value;
    };
    const list = marks.get(path) ?? [];
    marks.set(path, list);
    if (form === "box") {
      const [x, y, x1, y1] = SIDES.map((side) => number(at(side)));
      list.push({ part: row[at("part")] || "object", x, y, x1, y1, more });
    } else if (form === "point") {
      if (row[at("x")] || row[at("y")])
        list.push({ part: row[at("part")], x: number(at("x")), y: number(at("y")), more });
    } else {
      for (const { part, x, y } of wide)
        if (row[x] || row[y]) list.push({ part, x: number(x), y: number(y), more: { ...more } });
    }
  });
  return marks;
}

/**
 * A cell as it stands in a csv. A path that begins with a blank begins with ./, because readers take blanks away.
 * @param {string | number} value
 */
function csvCell(value) {
  const text = String(value);
  return /[",;\t\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * parts.csv or boxes.csv: path,part,x,y or path,x0,y0,x1,y1,part, and the further columns of files that were loaded.
 * @param {[string, PlacedMark[]][]} photographs paths as they are to be written, with their marks
 * @param {boolean} boxes
 */
function csvOfMarks(photographs, boxes) {
  const chosen = photographs.map(([path, marks]) => {
    return /** @type {[string, PlacedMark[]]} */ ([path, marks.filter((mark) => isBox(mark) === boxes)]);
  });
  const more = [...new Set(chosen.flatMap(([, marks]) => marks.flatMap((mark) => Object.keys(mark.more ?? {}))))];
  const rows = chosen.flatMap(([path, marks]) =>
    marks.map((mark) => {
      const place = boxes ? [mark.x, mark.y, mark.x1 ?? 0, mark.y1 ?? 0, mark.part] : [mark.part, mark.x, mark.y];
      return [path.replace(/^\s/, "./$&"), ...place, ...more.map((name) => mark.more?.[name] ?? "")];
    }),
  );
  const header = ["path", ...(boxes ? [...SIDES, "part"] : POINT), ...more];
  return [header, ...rows].map((row) => row.map(csvCell).join(",") + "\n").join("");
}

/** @param {PlacedMark} mark */
function isBox(mark) {
  return mark.x1 !== undefined;
}

/**
 * A function from a path of a csv to the photograph that it means: the same path, else the only one whose whole path
 * ends as this one does; null where none does, or several do.
 * @param {Photograph[]} photographs
 * @param {string} root the folder of the photographs, as far as it is known
 * @returns {(path: string) => string | null}
 */
function photographOf(photographs, root) {
  const plain = (/** @type {string} */ text) =>
    text
      .replaceAll("\\", "/")
      .replace(/^([a-z]:)?(\.{0,2}\/)*/i, "")
      .normalize("NFC");
  const paths = new Set(photographs.map(({ path }) => path));
  /** @type {Map<string, [string, string][]>} */
  const byName = new Map();
  for (const { path } of photographs) {
    const whole = plain(`${root}/${path}`);
    const name = whole.slice(whole.lastIndexOf("/") + 1);
    byName.set(name, [...(byName.get(name) ?? []), [whole, path]]);
  }
  return (path) => {
    if (paths.has(path)) return path;
    const end = plain(path);
    const fits = (byName.get(end.slice(end.lastIndexOf("/") + 1)) ?? []).filter(
      ([whole]) => `/${whole}`.endsWith(`/${end}`) || end.endsWith(`/${whole}`),
    );
    return fits.length === 1 ? fits[0][1] : null;
  };
}
