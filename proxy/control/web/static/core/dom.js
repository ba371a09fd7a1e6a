// Elements made of data. Text is always text: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "g", "path", "rect", "line", "circle", "text", "title", "use", "polyline"]);

/**
 * Make an element: h("a", {href: "/", class: "quiet"}, "Home").
 *
 * A property that is a function listens ("onclick"); true is an empty attribute; null, undefined and false are
 * none. Children are elements, strings, numbers, or arrays of these; null and false are left out.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  return filled(element, properties, children);
}

/** Make an SVG element, as `h` makes HTML's. */
export function s(tag, properties = {}, ...children) {
  if (!SVG_TAGS.has(tag)) throw new Error(`no SVG element of ours: ${tag}`);
  return filled(document.createElementNS(SVG, tag), properties, children);
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "indeterminate") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...present(children));
  return element;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Give an element other children. */
export function fill(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

/** Find the one element that a template promises. */
export function must(selector, within = document) {
  const found = within.querySelector(selector);
  if (found === null) throw new Error(`nothing matches ${selector}`);
  return found;
}

/** An icon of the layout's sprite; it says nothing to a screen reader. */
export function icon(name) {
  return s("svg", { class: "icon", "aria-hidden": "true" }, s("use", { href: `#i-${name}` }));
}

let named = 0;

/** An id that nothing else of this page has. `crypto.randomUUID` is there only over TLS and on localhost. */
export const freshId = () => `id-${++named}`;
