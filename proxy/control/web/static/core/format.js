// Figures, money and times as people read them; the exact value is one hover away.

import { h } from "./dom.js";

const SAME = undefined; // the browser's own language
const whole = new Intl.NumberFormat(SAME, { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat(SAME, { notation: "compact", maximumFractionDigits: 1 });
const exact = new Intl.NumberFormat(SAME, { maximumFractionDigits: 6 });
const dollars = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", maximumFractionDigits: 9 });
const percent = new Intl.NumberFormat(SAME, { style: "percent", maximumFractionDigits: 1 });
const ago = new Intl.RelativeTimeFormat(SAME, { numeric: "auto" });
const moment = new Intl.DateTimeFormat(SAME, { dateStyle: "medium", timeStyle: "short" });
const shortMoment = new Intl.DateTimeFormat(SAME, { day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });
const precise = new Intl.DateTimeFormat(SAME, { dateStyle: "full", timeStyle: "long" });
const utcDay = new Intl.DateTimeFormat(SAME, { dateStyle: "medium", timeZone: "UTC" });
const localDay = new Intl.DateTimeFormat(SAME, { dateStyle: "medium" });
const shortDay = new Intl.DateTimeFormat(SAME, { day: "numeric", month: "short", timeZone: "UTC" });

/** How many credits a US dollar is. */
const PER_DOLLAR = Number(document.body.dataset.creditsPerUsd);

/** A whole number, all of it. */
export const number = (value) => whole.format(value);

/** A number in as few letters as do: 12.3K. */
export const compact = (value) => (Math.abs(value) < 10_000 ? exact.format(Math.round(value * 10) / 10) : short.format(value));

/** Credits as text: two digits where they matter, more for what is small. */
export function creditsText(value) {
  const size = Math.abs(value);
  const digits = size >= 1000 ? 0 : size >= 1 || size === 0 ? 2 : size >= 0.01 ? 4 : 6;
  return new Intl.NumberFormat(SAME, { minimumFractionDigits: size === 0 ? 0 : Math.min(digits, 2), maximumFractionDigits: digits }).format(value).replace("-", "−");
}

/** Credits as an element; a hover tells them exactly, and in dollars. */
export function credits(value, unit = false) {
  const title = `${exact.format(value)} credits = ${dollars.format(value / PER_DOLLAR)}`;
  return h("data", { value, title, class: "figure" }, creditsText(value), unit && h("small", {}, " credits"));
}

/** Credits in US dollars, as text. */
export const inDollars = (value) => dollarsText(value / PER_DOLLAR);

/** A price in US dollars, given as decimal text. */
export function usd(text) {
  return h("data", { value: text, title: `$${text}`, class: "figure" }, dollarsText(Number(text)));
}

/** US dollars, given as decimal text, to the last of their digits. */
export const usdText = (text) => dollars.format(Number(text));

function dollarsText(value) {
  const digits = value !== 0 && Math.abs(value) < 0.01 ? 6 : Math.abs(value) < 1 ? 4 : 2;
  return new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", minimumFractionDigits: 2, maximumFractionDigits: digits }).format(value);
}

/** A count as an element: short, the whole on hover. */
export function count(value) {
  return h("data", { value, title: number(value), class: "figure" }, compact(value));
}

/** A share of a whole: 0.4%. */
export const share = (value) => percent.format(value);

/** A moment (milliseconds since 1970) in the browser's time zone. */
export function when(ms) {
  const at = new Date(ms);
  return h("time", { datetime: at.toISOString(), title: precise.format(at) }, moment.format(at));
}

/** A moment without its year, where that is the present one; exact on hover. */
export function whenShort(ms) {
  const at = new Date(ms);
  const format = at.getFullYear() === new Date().getFullYear() ? shortMoment : moment;
  return h("time", { datetime: at.toISOString(), title: precise.format(at) }, format.format(at));
}

/** A moment as its day in the browser's time zone, exact on hover. */
export function date(ms) {
  const at = new Date(ms);
  return h("time", { datetime: at.toISOString(), title: precise.format(at) }, localDay.format(at));
}

/** A moment as its distance from now, exact on hover. */
export function since(ms) {
  const at = new Date(ms);
  return h("time", { datetime: at.toISOString(), title: precise.format(at) }, distance(ms - Date.now()));
}

function distance(ms) {
  const steps = [
    ["day", 86_400_000],
    ["hour", 3_600_000],
    ["minute", 60_000],
  ];
  const [unit, size] = steps.find(([, length]) => Math.abs(ms) >= length) ?? ["second", 1000];
  return ago.format(Math.trunc(ms / size), unit);
}

/** A UTC day ("2026-11-21") as text. */
export const day = (text) => utcDay.format(new Date(`${text}T00:00:00Z`));

/** A UTC day, short: 21 Nov. */
export const dayShort = (text) => shortDay.format(new Date(`${text}T00:00:00Z`));

/** The UTC day some days ago. */
export const daysAgo = (days) => dayOf(Date.now() - days * 86_400_000);

const dayOf = (ms) => new Date(ms).toISOString().slice(0, 10);

/** A length of time in milliseconds: 840 ms, 1.2 s, 3 min. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${exact.format(Math.round(ms / 100) / 10)} s`;
  return `${exact.format(Math.round(ms / 6000) / 10)} min`;
}

/** The UTC days from one to another, both included. */
export function daysFrom(since, through) {
  const [from, to] = [since, through].map((text) => Date.parse(`${text}T00:00:00Z`) / 86_400_000);
  return Array.from({ length: Math.max(to - from + 1, 0) }, (_, number) => dayOf((from + number) * 86_400_000));
}

/** The day after one. */
export const dayAfter = (text) => dayOf(Date.parse(`${text}T00:00:00Z`) + 86_400_000);
