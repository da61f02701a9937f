"use strict";
// How training went: the columns of metrics.csv as curves; a click on one moves the epoch of the page.

const LAYER_PREFIXES = ["stayed/", "similarity/", "dead/"];
/** @type {Record<string, [words: string, number: number]>} words and style of the series, as in plots/series.py */
const SERIES = {
  "train/loss": ["training", 1],
  "val/loss": ["validation", 0],
  "train/top1": ["training", 1],
  "val/top1": ["validation", 0],
  "val/top5": ["validation, top-5", 2],
  "val/class_mean": ["validation, class mean", 3],
  "val/mean_ap": ["validation, mean AP", 4],
};

/**
 * A line for each layer that has a column of this prefix.
 * @param {string} prefix
 * @returns {Line[]}
 */
const layerLines = (prefix) =>
  Object.entries(metrics)
    .filter(([column]) => column.startsWith(prefix))
    .map(([column, values], number, { length: layers }) => ({
      name: column.slice(prefix.length),
      column,
      number,
      layers,
      values,
    }));

/**
 * The same without the first value: nothing comes before the first shown epoch, whatever the column says.
 * @param {string} prefix
 * @returns {Line[]}
 */
const comparedLines = (prefix) =>
  layerLines(prefix).map((line) => {
    const first = line.values.findIndex(isPresent);
    return { ...line, values: line.values.map((value, at) => (at === first ? null : value)) };
  });

/**
 * A line for each of these columns that metrics.csv has.
 * @param {string[]} columns
 * @returns {Line[]}
 */
const columnLines = (columns) =>
  columns.flatMap((column) => {
    const [name, number] = SERIES[column];
    const short = name.replace("validation, ", "");
    return metrics[column] ? [{ name, short, column, number, values: metrics[column] }] : [];
  });

/**
 * All charts of the run: those of columns that this page knows in their order, other measures of training and
 * validation after accuracy, all other columns at the end.
 * @returns {ChartSpec[]}
 */
function chartSpecs() {
  const measures = [
    {
      title: "Loss",
      lines: columnLines(["train/loss", "val/loss"]),
    },
    {
      title: "Accuracy",
      share: true,
      whole: true,
      lines: columnLines(["train/top1", "val/top1", "val/top5", "val/class_mean"]),
    },
  ];
  const settling = {
    title: "Top-9 images that stayed",
    share: true,
    whole: true,
    rule: 0.5,
    lines: comparedLines("stayed/"),
  };
  const similarity = {
    title: "Similarity to the projection before",
    lines: comparedLines("similarity/"),
  };
  const dead = { title: "Dead maps", share: true, lines: layerLines("dead/") };
  const charted = [...measures, settling, similarity, dead].flatMap((spec) => spec.lines);
  const drawn = new Set(charted.flatMap((line) => line.column ?? []));
  const layerNames = new Set([...layers, ...LAYER_PREFIXES.flatMap(layerLines).map((line) => line.name)]);
  const otherSpecs = otherCharts(metrics, drawn, layerNames);
  dead.lines = dead.lines.filter((line) => line.values.some((value) => Number(value) > 0));
  const [, accuracy] = measures; // with as many images of each class the mean of the classes is the accuracy
  accuracy.lines = accuracy.lines.filter(
    (line) => line.column !== "val/class_mean" || String(line.values) !== String(metrics["val/top1"]),
  );
  const features = [settling, similarity, dead];
  const specs = [
    ...measures,
    ...otherSpecs.filter((spec) => spec.split),
    ...features,
    ...otherSpecs.filter((spec) => !spec.split),
  ];
  return specs
    .map((spec) => ({ ...spec, lines: spec.lines.filter((line) => line.values.some(isPresent)) }))
    .filter((spec) => spec.lines.length);
}

function setUpCharts() {
  const holder = query("#training .charts");
  /** @type {((epoch: number) => void)[]} */
  let updates = [];
  const draw = () => {
    const when = /** @type {number[]} */ ([...(metrics.epoch ?? [])]);
    const specs = chartSpecs();
    const plots = series.filter((pictures) => ["settling", "curves"].includes(pictures.name));
    holder.style.minHeight = `${holder.offsetHeight}px`; // the page does not move while the charts are drawn anew
    for (const part of [holder, query("#training .plots")]) part.replaceChildren();
    byId("training").hidden = !specs.length && !plots.length;
    updates = specs.map((spec) => chart(holder, spec, when, goToNearest));
    holder.style.minHeight = "";
    for (const plot of plots) showPlot(plot, specs.length > 0);
  };
  draw();
  refreshers.push(draw);
  return () => {
    const { epoch } = state;
    if (epoch !== null) updates.forEach((update) => update(epoch));
  };
}

/**
 * Shows a plot as a picture, or a link to it where the page draws the same curves itself.
 * @param {PictureSeries} plot
 * @param {boolean} drawn
 */
function showPlot(plot, drawn) {
  const holder = query("#training .plots");
  const frame = plot.frames[plot.frames.length - 1];
  const attributes = { class: "png", href: frame.source, target: "_blank", rel: "noopener" };
  if (drawn) html("a", attributes, holder, `${plot.name} as a picture`);
  else put(figure(holder), plot, frame, null);
  for (const [form, href] of Object.entries(frame.drawings ?? {}))
    html("a", { ...attributes, href, download: "" }, holder, `${plot.name} as ${form}`);
}
