// What is told at a glance: badges, facts, figures on cards.

import { h } from "./dom.js";

/** A state in a word; `kind` is "good", "warn", "bad" or nothing. */
export const badge = (text, kind = "") => h("span", { class: `badge ${kind}` }, text);

const PART = 24; // letters of a part that is kept whole

/** An id, an address or a mail address: where it has to break, it breaks between its parts. */
export function id(text) {
  const parts = text.split(/(?<=[^:/]\/)|(?=@)/);
  const whole = (part) => (part.length > PART ? part : h("span", { class: "whole" }, part));
  return h("span", { class: "id" }, parts.map((part, place) => [place > 0 && h("wbr"), whole(part)]));
}

const TAIL = 8; // letters of an id's end that are always seen

/** An id that nobody reads in full: where there is no room its middle is left out; a hover and a copy have all of it. */
export function cut(text) {
  return h("code", { class: "cut", title: text }, h("span", {}, text.slice(0, -TAIL)), text.slice(-TAIL));
}

/** Names and what they stand for: [name, value, kind]; those without are left out. */
export function facts(rows) {
  const told = rows.filter((row) => row && row[1] !== null && row[1] !== undefined && row[1] !== false);
  return h("dl", { class: "facts" }, told.map(([name, value, kind]) => h("div", { class: kind }, h("dt", {}, name), h("dd", {}, value))));
}

/** A figure on a card of its own, for a list of them, and what is said of it. */
export function stat(name, value, ...asides) {
  return h("div", { class: "card stat" }, h("dt", {}, name), h("dd", {}, value), asides.filter(Boolean).map((each) => h("dd", { class: "aside" }, each)));
}
