// Choosing a model by a part of its name.

import { get } from "../core/api.js";
import { combobox } from "../core/combobox.js";
import { h } from "../core/dom.js";
import { usd } from "../core/format.js";

const MOST = 50;
const OTHERS = ["embeddings", "speech", "transcription", "images"];

/** A combobox of the models that answer chats, aliases among them: as `combobox`, without `find` and `option`. */
export function modelBox(properties) {
  return combobox({ ...properties, find: findChats, option });
}

async function findChats(text) {
  const { models } = await get("/api/user/models", { q: text, limit: MOST });
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const named = (model) => words.every((word) => model.id.toLowerCase().includes(word));
  // An alias is found by what it stands for as well, but whoever types a model's name means the model.
  return models.filter(chats).sort((one, other) => named(other) - named(one));
}

/** Whether a model answers chats; one that makes images does so as well where it calls tools. */
export const chats = ({ capabilities }) => capabilities.includes("tools") || !OTHERS.some((other) => capabilities.includes(other));

function option(model) {
  return [h("span", { class: "id" }, model.id), h("small", {}, model.alias ? aliasOf(model) : priceOf(model))];
}

const aliasOf = ({ targets }) => (targets.length ? `→ ${targets.join(", ")}` : "Alias");

function priceOf({ prices }) {
  if (!prices.input && !prices.output) return "No price";
  return [usd(prices.input ?? "0"), " in · ", usd(prices.output ?? "0"), " out, per 1M tokens"];
}
