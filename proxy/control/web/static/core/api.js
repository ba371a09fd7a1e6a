// The management API: JSON in, JSON out, with the page's token; and what to do when it refuses.

import { askPassword } from "./password.js";

/** A refusal, in the words of the gateway. `id` is the request's, for whoever has to look it up. */
export class Refused extends Error {
  constructor(status, code, message, id) {
    super(message);
    this.status = status;
    this.code = code;
    this.id = id;
  }
}

const token = () => document.querySelector('meta[name="csrf"]');

export const get = (path, query) => ask("GET", path + search(query));
export const post = (path, body = {}) => ask("POST", path, body);
export const put = (path, body = {}) => ask("PUT", path, body);
export const del = (path) => ask("DELETE", path);

/** Write what stands behind the question mark; what is empty is left out. */
export function search(query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

async function ask(method, path, body) {
  try {
    return await once(method, path, body);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.code === "confirmation_required") {
      if (await confirmed()) return once(method, path, body);
      throw new Refused(error.status, error.code, "Nothing was changed: this needs your password.", null);
    }
    if (error.code === "unauthorized" && token()) leave("/login", true);
    if (error.code === "password_change_required") leave("/password");
    throw error;
  }
}

async function once(method, path, body) {
  const headers = { accept: "application/json" };
  if (method !== "GET") headers["x-csrf-token"] = token()?.content ?? "";
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Refused(0, "unreachable", "The gateway cannot be reached. Check the connection and try again.", null);
  }
  const told = await answer.json().catch(() => null);
  if (answer.ok && told !== null) return told;
  throw refusal(answer, told);
}

/** What an answer of the gateway that is no success says. */
export function refusal(answer, told) {
  const error = told?.error ?? {};
  const wait = answer.headers.get("retry-after");
  const text = sentence(error.message ?? `The gateway answered ${answer.status}.`);
  return new Refused(
    answer.status,
    error.code ?? "unknown",
    wait ? `${text} Try again in ${wait} s.` : text,
    error.request_id ?? answer.headers.get("x-request-id"),
  );
}

/** Words of the gateway as a sentence. */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");

async function confirmed() {
  return askPassword(async (password) => {
    const signed = await once("POST", "/api/auth/confirm", { password });
    token().content = signed.csrf;
  });
}

function leave(path, back = false) {
  const here = location.pathname + location.search + location.hash;
  location.assign(back ? `${path}?next=${encodeURIComponent(here)}` : path);
}
