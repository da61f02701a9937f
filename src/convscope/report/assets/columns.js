"use strict";
// What a column of metrics.csv is called and measured in. One that nobody has told this page of has words of its own
// name, and stands in a chart with those of its kind: train/x with val/x, kind/layer with every layer of that kind.

const COLUMN_WORDS = {
  lr: "learning rate", seconds: "seconds an epoch took", images_per_second: "training images a second", top1: "accuracy, top-1", top5: "accuracy, top-5",
  class_mean: "accuracy, mean of the classes", mean_ap: "mean average precision", renorm: "filters put back to the radius in the last step",
};
const SPLITS = { train: "training", val: "validation", test: "test" };
const SHARES = /(^|[ _/])(top\d+|class_mean|mean_ap|ap|map|acc|accuracy|error|precision|recall|f1|auc|auroc|iou|share|renorm)($|[ _/])/i;
const capital = (words) => words.slice(0, 1).toUpperCase() + words.slice(1);
const wordsOf = (name) => COLUMN_WORDS[name] ?? name.replaceAll("_", " ").replaceAll("/", ", ");

// {group, line, split}: which chart a column belongs to, the name of its line there, whether it is of train, val or test.
function columnKind(column) {
  const [head, ...rest] = column.split("/"), tail = rest.join("/");
  if (!tail) return { group: column, line: wordsOf(column), split: false };
  return Object.hasOwn(SPLITS, head) ? { group: tail, line: SPLITS[head], split: true } : { group: head, line: tail, split: false };
}

// Whether a chart's values are to be read as percentages: its name says so and they can be.
const isShare = (group, values) => SHARES.test(group) && values.every((value) => value === null || (value >= 0 && value <= 1));

// A chart for each kind of the columns that none of `drawn` has: [{title, lines, share, whole, split, lone}].
function otherCharts(columns, drawn) {
  const groups = new Map();
  for (const [column, values] of Object.entries(columns)) {
    if (column === "epoch" || drawn.has(column)) continue;
    const { group, line, split } = columnKind(column), key = `${split} ${group}`;
    if (!groups.has(key)) groups.set(key, { group, split, lines: [] });
    const { lines } = groups.get(key);
    lines.push({ name: line, number: lines.length, values });
  }
  return [...groups.values()].map(({ group, split, lines }) => {
    const share = isShare(group, lines.flatMap((line) => line.values));
    return { title: capital(wordsOf(group)), lines, share, whole: share, split, lone: true };
  });
}
