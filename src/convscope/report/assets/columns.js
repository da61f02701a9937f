"use strict";
// What a column of metrics.csv is called and measured in, and charts for the columns that have none of their own.
// A column that this page does not know has the words of its name, and stands in a chart with those of its kind:
// train/x with val/x, kind/layer with every layer of that kind.

/**
 * A line of a chart. number: chooses its style. layers: of how many, if it is the line of a layer. short: what stands
 * at its end, by default its name.
 * @typedef {{
 *   name: string, number: number, values: Column, layers?: number, short?: string, column?: string,
 * }} Line
 *
 * What a chart shows. share: its values are percentages. whole: its scale is 0 to 100 %. fitted: its scale may begin
 * far from 0. digits: of the values that it reads out, by default 3. rule: a level to mark. lone: a line alone needs no
 * name at its end. split: its lines are training, validation and test. apart: its scale is that of most of the values.
 * @typedef {{
 *   title: string, lines: Line[], share?: boolean, whole?: boolean, fitted?: boolean, digits?: number, rule?: number,
 *   lone?: boolean, split?: boolean, apart?: boolean,
 * }} ChartSpec
 *
 * Which chart a column belongs to, and the name of its line there.
 * @typedef {{group: string, line: string, split: boolean}} ColumnKind
 */

/** @type {Record<string, string>} */
const COLUMN_WORDS = {
  lr: "learning rate",
  seconds: "seconds an epoch took",
  images_per_second: "training images a second",
  top1: "accuracy, top-1",
  top5: "accuracy, top-5",
  class_mean: "accuracy, mean of the classes",
  mean_ap: "mean average precision",
  renorm: "filters put back to the radius in the last step",
};
Object.assign(COLUMN_WORDS, (window.DATA ?? window.SWEEP)?.words); // of what analyses measure after an epoch
/** @type {Record<string, string>} */
const SPLITS = { train: "training", val: "validation", test: "test" };
/** @type {Record<string, number>} */
const SPLIT_NUMBERS = { training: 1, validation: 0, test: 2 }; // as in plots/series.py
const SHARE_WORDS =
  "top\\d+|class_mean|mean_ap|ap|map|acc|accuracy|error|precision|recall|f1|auc|auroc|iou|share|renorm";
const SHARES = new RegExp(`(^|[ _/])(${SHARE_WORDS})($|[ _/])`, "i");
const MOST_TIMES = 100; // lines of one chart whose sizes differ by more have scales of their own

/**
 * Whether a value was measured.
 * @template Value
 * @param {Value | null | undefined} value
 * @returns {value is Value}
 */
const isPresent = (value) => value !== null && value !== undefined;

/** @param {string} words */
const capital = (words) => words.slice(0, 1).toUpperCase() + words.slice(1);
/** @param {string} name */
const isKnown = (name) => Object.hasOwn(COLUMN_WORDS, name);
/** @param {string} name */
const wordsOf = (name) => (isKnown(name) ? COLUMN_WORDS[name] : name.replaceAll("_", " ").replaceAll("/", ", "));

/**
 * @param {string} column
 * @returns {ColumnKind}
 */
function columnKind(column) {
  const [head, ...rest] = column.split("/");
  const tail = rest.join("/");
  if (!tail) return { group: column, line: wordsOf(column), split: false };
  if (Object.hasOwn(SPLITS, head)) return { group: tail, line: SPLITS[head], split: true };
  return { group: head, line: tail, split: false };
}

/**
 * Whether a chart's values are percentages: its name says so and they can be.
 * @param {string} group
 * @param {Column} values
 */
const isShare = (group, values) =>
  (SHARES.test(group) || SHARES.test(wordsOf(group))) &&
  values.every((value) => value === null || (value >= 0 && value <= 1));

/**
 * A chart for each kind of the columns that no other chart draws. Columns of one kind that are not of layers have
 * charts of their own where one scale does not suit them all.
 * @param {Columns} columns
 * @param {Set<string>} drawn columns of other charts
 * @param {Set<string>} layers names of the net's layers
 * @returns {ChartSpec[]}
 */
function otherCharts(columns, drawn, layers) {
  /** @type {Map<string, {group: string, split: boolean, lines: Line[]}>} */
  const groups = new Map();
  for (const [column, values] of Object.entries(columns)) {
    if (column === "epoch" || drawn.has(column)) continue;
    const { group, line, split } = columnKind(column);
    const key = `${split} ${group}`;
    const entry = groups.get(key) ?? { group, split, lines: [] };
    entry.lines.push({ name: line, ...place(line, split, entry.lines.length, [...layers]), values });
    groups.set(key, entry);
  }
  return [...groups.values()].flatMap(({ group, split, lines }) => {
    const words = capital(wordsOf(group));
    const together = split || lines.some((line) => layers.has(line.name)) || haveOneScale(lines);
    if (together) return otherChart(words, group, split, lines);
    return lines.map((line) =>
      otherChart(`${words}: ${wordsOf(line.name)}`, group, split, [{ ...line, number: 0, layers: undefined }]),
    );
  });
}

/**
 * What gives a line its style: a layer has that of its place in the net, a split its own.
 * @param {string} name
 * @param {boolean} split
 * @param {number} next
 * @param {string[]} layers
 * @returns {Pick<Line, "number" | "layers">}
 */
function place(name, split, next, layers) {
  if (split) return { number: SPLIT_NUMBERS[name] };
  return layers.includes(name) ? { number: layers.indexOf(name), layers: layers.length } : { number: next };
}

/**
 * @param {string} title
 * @param {string} group
 * @param {boolean} split
 * @param {Line[]} lines
 * @returns {ChartSpec}
 */
function otherChart(title, group, split, lines) {
  const values = lines.flatMap((line) => line.values);
  const share = isShare(group, values);
  return { title, lines, share, whole: share, ...fit(group, values), split, lone: true };
}

/**
 * How to show values of which nothing is known but their size: all that differ are to be told apart.
 * @param {string} group
 * @param {Column} values
 * @returns {Pick<ChartSpec, "fitted" | "digits">}
 */
function fit(group, values) {
  if (isKnown(group)) return {};
  const numbers = values.filter(isPresent);
  const span = Math.max(...numbers) - Math.min(...numbers);
  const size = Math.max(...numbers.map(Math.abs));
  const digits = span > 0 ? Math.ceil(Math.log10(size / span)) + 2 : 0;
  return { fitted: true, digits: Math.min(9, Math.max(3, digits)) };
}

/**
 * Whether the largest values of the lines are of about one size.
 * @param {Line[]} lines
 */
function haveOneScale(lines) {
  const sizes = lines
    .map((line) => Math.max(0, ...line.values.filter(isPresent).map(Math.abs)))
    .filter((size) => size > 0);
  return sizes.length < 2 || Math.max(...sizes) <= MOST_TIMES * Math.min(...sizes);
}
