// Charts as SVG: drawn from figures that the page also offers as a table.

import { fill, h, s } from "./dom.js";
import { table } from "./table.js";

const WIDTH = 640;
const HEIGHT = 190;
const BOTTOM = 24;
const TOP = 10;
const LETTER = 6.4; // pixels of a letter, about
const TICK = 64; // pixels for a label below

/**
 * Draw a chart: {title, points, series, text, label, about}.
 *
 * A point is a row of data; a series is {name, value: (point) => number or null, mark: "bar" or "line", tone: 1..5}.
 * Bars of one chart stand on each other. `text(value)` writes a value, `label(point)` what a point is; `about`, if
 * given, stands beside the title. It is drawn anew when there is more or less room for it.
 */
export function chart({ title, points, series, text, label, about = null }) {
  const bars = series.filter((each) => each.mark === "bar");
  const top = ceiling(Math.max(0, ...points.map((point) => Math.max(total(bars, point), ...lines(series, point)))));
  const drawing = s("svg", { role: "img", "aria-label": summary(title, points, series, text, label) });
  const left = Math.max(...[0, 0.5, 1].map((share) => text(top * share).length)) * LETTER + 14;
  const scale = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
  const draw = (width) => {
    const place = { step: (width - left) / Math.max(points.length, 1), left, width, scale, text, label };
    drawing.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    fill(
      drawing,
      grid(top, place),
      points.map((point, number) => stack(bars, point, number, place)),
      series.filter((each) => each.mark === "line").map((each) => path(each, points, place)),
      ticks(points, place),
      points.map((point, number) => column(series, point, number, place)),
    );
  };
  draw(WIDTH);
  new ResizeObserver(([{ contentRect }]) => contentRect.width > 0 && draw(Math.round(contentRect.width))).observe(drawing);
  const columns = [
    { name: "When", cell: label },
    ...series.map((each) => ({ name: each.name, kind: "number", phone: series.length === 1 && "figure", cell: (point) => written(each.value(point), text) })),
  ];
  return h(
    "figure",
    { class: "chart" },
    h("figcaption", {}, h("span", {}, title, about && h("small", {}, " ", about)), series.length > 1 && legend(series)),
    drawing,
    h("details", {}, h("summary", {}, "Figures"), table(title, columns, points)),
  );
}

const total = (bars, point) => bars.reduce((sum, each) => sum + (each.value(point) ?? 0), 0);
const lines = (series, point) => series.filter((each) => each.mark === "line").map((each) => each.value(point) ?? 0);
const written = (value, text) => (value === null || value === undefined ? "–" : text(value));

/** The next round figure above: 1, 2, 2.5 or 5 times a power of ten. */
function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= value);
}

function grid(top, { left, width, scale, text }) {
  return [0, 0.5, 1].map((share) =>
    s(
      "g",
      { class: "rule" },
      s("line", { x1: left, x2: width, y1: scale(top * share), y2: scale(top * share) }),
      s("text", { x: left - 8, y: scale(top * share) + 4, "text-anchor": "end" }, text(top * share)),
    ),
  );
}

function stack(bars, point, number, { step, left, scale }) {
  let below = 0;
  const wide = Math.max(Math.min(step * 0.72, 34), 1);
  return bars.map((each) => {
    const value = each.value(point) ?? 0;
    const [from, to] = [scale(below), scale(below + value)];
    below += value;
    if (value === 0) return null;
    return s("rect", { x: left + (number + 0.5) * step - wide / 2, width: wide, y: to, height: Math.max(from - to, 1), rx: 1.5, class: `tone-${each.tone}` });
  });
}

function path(each, points, { step, left, scale }) {
  const placed = points
    .map((point, number) => ({ x: left + (number + 0.5) * step, value: each.value(point) }))
    .filter(({ value }) => value !== null && value !== undefined);
  return s(
    "g",
    { class: `line tone-${each.tone}` },
    s("polyline", { points: placed.map(({ x, value }) => `${x},${scale(value)}`).join(" ") }),
    placed.map(({ x, value }) => s("circle", { cx: x, cy: scale(value), r: 2.5 })),
  );
}

/** What a point is, told wherever the pointer is above or below it. */
function column(series, point, number, { step, left, text, label }) {
  const told = series.map((each) => `${each.name}: ${written(each.value(point), text)}`);
  return s("rect", { class: "hit", x: left + number * step, width: step, y: 0, height: HEIGHT - BOTTOM }, s("title", {}, [label(point), ...told].join("\n")));
}

function ticks(points, { step, left, width, label }) {
  const every = Math.max(Math.ceil(points.length / Math.max(Math.floor((width - left) / TICK), 1)), 1);
  return points.map((point, number) =>
    (points.length - 1 - number) % every === 0 ? s("text", tick(left + (number + 0.5) * step, width), label(point)) : null,
  );
}

/** Below its point, but not beyond the edge. */
function tick(x, width) {
  const end = x > width - TICK / 3;
  return { x: end ? width : x, y: HEIGHT - 6, "text-anchor": end ? "end" : "middle" };
}

function legend(series) {
  return h("ul", { class: "legend" }, series.map((each) => h("li", { class: `tone-${each.tone}` }, each.name)));
}

function summary(title, points, series, text, label) {
  if (points.length === 0) return `${title}: no data`;
  const told = series.map((each) => {
    const values = points.map((point) => each.value(point) ?? 0);
    return `${each.name} at most ${text(Math.max(...values))}, last ${text(values.at(-1))}`;
  });
  return `${title}, ${label(points[0])} to ${label(points.at(-1))}: ${told.join("; ")}`;
}
