// What a model costs, as people compare it: US dollars, of tokens for a million of them.

import { h } from "../core/dom.js";
import { usd } from "../core/format.js";

const MILLION = 1e6;
const PER = {
  input: ["Input", "1M tokens"],
  cache_read: ["Input from the cache", "1M tokens"],
  cache_write: ["Input written to the cache", "1M tokens"],
  cache_write_1h: ["Input written to the cache for an hour", "1M tokens"],
  input_audio: ["Sound in", "1M tokens"],
  input_image: ["Images in", "1M tokens"],
  output: ["Output", "1M tokens"],
  reasoning: ["Reasoning", "1M tokens"],
  output_audio: ["Sound out", "1M tokens"],
  output_image: ["Images out", "1M tokens"],
  characters: ["Text spoken", "1M characters"],
  seconds: ["Sound listened to", "minute", 60 / MILLION],
  images: ["Images made", "image", 1 / MILLION],
  request: ["Each request", "request"],
};
const UNITS = ["characters", "seconds", "images", "request"];
const LIKE = { cache_read: "input", cache_write: "input", cache_write_1h: "input", input_audio: "input", input_image: "input", reasoning: "output", output_audio: "output", output_image: "output" };

/** One price of a model as an element, or none. */
export function price(prices, name) {
  return prices[name] === undefined ? null : usd(decimal(prices[name], PER[name][2] ?? 1));
}

/** A product without the last digits, where binary fractions are wrong. */
const decimal = (text, times) => (times === 1 ? text : String(Number((Number(text) * times).toPrecision(12))));

/** What a model sells by the piece, in one line; null where it sells tokens alone. */
export function byPiece(prices) {
  const sold = UNITS.filter((name) => prices[name] !== undefined);
  if (sold.length === 0) return null;
  return sold.map((name, place) => [place > 0 && ", ", price(prices, name), h("small", {}, ` a ${PER[name][1]}`.replace("a 1M", "per 1M").replace("a image", "an image"))]);
}

/** All prices that are not the same as another: [what, element, unit]. */
export function priceRows(prices) {
  return Object.keys(PER)
    .filter((name) => prices[name] !== undefined && prices[name] !== prices[LIKE[name]])
    .map((name) => [PER[name][0], price(prices, name), PER[name][1]]);
}
