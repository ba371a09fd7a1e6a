// Tables: wide where there is room, two lines a row on a phone. And pages of them.

import { fill, h } from "./dom.js";
import { button, empty, failure, skeleton } from "./ui.js";

/**
 * Make a table. A column is {name, cell: (row) => child, kind, phone}; `kind` is "number", "actions" or nothing.
 * The first column is the row's heading.
 *
 * On a phone a row is two lines or so: its heading with a figure at the end, then the rest, each by its name. `phone`
 * says what is other there: "title" stands in the heading's place and "figure" at its end, "bare" needs no name,
 * "last" stands at the end of the rest, and "none" is left out.
 */
export function table(caption, columns, rows) {
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, columns.map(head))),
      h("tbody", {}, rows.map((row) => line(columns, row))),
    ),
  );
}

function head(column) {
  const hidden = column.kind === "actions" ? h("span", { class: "unseen" }, column.name) : column.name;
  return h("th", { scope: "col", class: column.kind }, hidden);
}

/** One row, as `table` makes them. */
export function line(columns, row) {
  return h(
    "tr",
    {},
    columns.map((column, place) => cellOf(column, column.cell(row), place === 0)),
  );
}

function cellOf(column, content, heads) {
  const made = h(heads ? "th" : "td", { scope: heads ? "row" : null, class: classOf(column), "data-label": column.name }, content);
  if (made.textContent === "–") made.classList.add("phone-none");
  return made;
}

const classOf = ({ kind, phone }) => [kind, phone && `phone-${phone}`].filter(Boolean).join(" ") || null;

/**
 * A table that grows by pages: `next(cursor)` returns {rows, cursor}; no cursor is the end.
 * `nothing` is shown where there is no row at all.
 */
export function pages(part, caption, columns, next, nothing) {
  const made = table(caption, columns, []);
  const body = made.querySelector("tbody");
  const foot = h("div", { class: "more" });
  async function more(cursor) {
    const first = cursor === null;
    part.setAttribute("aria-busy", "true");
    // What stands there stays until the first page is here, so that nothing is pushed about.
    if (!first) fill(foot, skeleton(2));
    try {
      const found = await next(cursor);
      if (first && found.rows.length === 0) return void fill(part, nothing ?? empty("Nothing yet", "There is nothing to show."));
      body.append(...found.rows.map((row) => line(columns, row)));
      fill(foot, found.cursor !== null && button("Show more", () => more(found.cursor)));
      if (first) fill(part, made, foot);
    } catch (error) {
      fill(first ? part : foot, failure(error, () => more(cursor)));
    } finally {
      part.removeAttribute("aria-busy");
    }
  }
  // What is there, a skeleton or the table before, stays until the rows are: nothing moves twice.
  if (part.childElementCount === 0) fill(part, skeleton(6));
  return more(null);
}
