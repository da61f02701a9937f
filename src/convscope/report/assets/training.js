"use strict";
// How training went: the columns of metrics.csv as curves; a click on one moves the epoch of the page.

const byLayer = (prefix) => Object.keys(metrics).filter((column) => column.startsWith(prefix)).map((column, number) => ({ name: column.slice(prefix.length), column, number, values: metrics[column] }));
// At the first shown epoch there is nothing to compare with, whatever the column says.
function compared(prefix) {
  return byLayer(prefix).map(({ values, ...line }) => ({ ...line, values: values.map((value, at) => (at === values.findIndex(known) ? null : value)) }));
}
const named = (names) => names.flatMap(([name, column], number) => (metrics[column] ? [{ name, column, number, values: metrics[column] }] : []));

function setUpCharts() {
  const when = metrics.epoch || [];
  const measures = [
    { title: "Loss", lines: named([["training", "train/loss"], ["validation", "val/loss"]]) },
    { title: "Accuracy", share: true, whole: true, lines: named([["train top-1", "train/top1"], ["val top-1", "val/top1"], ["val top-5", "val/top5"], ["class mean", "val/class_mean"]]) },
  ];
  const features = [
    { title: "Settling: top-9 images that stayed", share: true, whole: true, rule: 0.5, lines: compared("stayed/") },
    { title: "Similarity of the strongest projection to the one before", lines: compared("similarity/") },
    { title: "Dead maps", share: true, lines: byLayer("dead/") },
  ];
  const drawnAbove = new Set([...measures, ...features].flatMap((spec) => spec.lines.map((line) => line.column)));
  const others = otherCharts(metrics, drawnAbove);
  features[2].lines = features[2].lines.filter((line) => line.values.some((value) => value > 0));
  const specs = [...measures, ...others.filter((spec) => spec.split), ...features, ...others.filter((spec) => !spec.split)];
  for (const spec of specs) spec.lines = spec.lines.filter((line) => line.values.some(known));
  const drawn = specs.filter((spec) => spec.lines.length);
  const updates = drawn.map((spec) => chart(document.querySelector(".charts"), spec, when, nearestEpoch));
  const plots = series.filter((each) => ["settling", "curves"].includes(each.name));
  const holder = document.querySelector(".plots");
  for (const each of plots) {
    const frame = each.frames[each.frames.length - 1];
    if (drawn.length) html("a", { class: "png", href: frame.source, target: "_blank", rel: "noopener" }, holder, `${each.name} as a picture`);
    else put(figure(holder), each, frame, null);
  }
  $("training").hidden = !drawn.length && !plots.length;
  return () => { if (state.epoch !== null) for (const update of updates) update(state.epoch); };
}
