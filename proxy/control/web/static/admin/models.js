// The models of the configuration: where each is, what clients pay, and whose price that is.

import { get } from "../core/api.js";
import { h } from "../core/dom.js";
import { usd } from "../core/format.js";
import { badge, id } from "../core/pieces.js";
import { table } from "../core/table.js";
import { empty } from "../core/ui.js";
import { card } from "./parts.js";

const CLASSES = { input: "in", output: "out", cache_read: "cached", request: "a request", characters: "a million characters", seconds: "a million seconds", images: "a million images" };

export async function render() {
  const { models, markup, library } = await get("/api/admin/models");
  const all = h("a", { class: "button", href: "/models" }, "All models on offer");
  const text = "Those that the configuration names. Providers' other models are on offer too, where the price library knows them. Below each deployment is what it costs you. US dollars, of tokens for a million of them.";
  if (models.length === 0)
    return card("Models", text, all, empty("The configuration names no models", "Each provider's models are on offer at the price library's prices. Add [[models]] to give one several deployments, a strategy or a price of yours."));
  const columns = [
    { name: "Model", cell: named },
    { name: "Strategy", cell: (each) => each.strategy },
    { name: "Deployments", phone: "bare", cell: (each) => h("ul", { class: "places" }, each.deployments.map(place)) },
    { name: "Clients pay", cell: (each) => (each.problem ? h("small", {}, each.problem) : prices(each.prices)) },
    { name: "Price from", phone: "figure", cell: (each) => source(each.price_source, markup) },
  ];
  return card("Models", text, all, table("Models of the configuration", columns, models), h("p", { class: "source" }, h("small", {}, "Price library: ", h("code", {}, library))));
}

function named(model) {
  return h("span", { class: "stack tight" }, h("code", {}, id(model.id)), model.name && h("small", {}, model.name), model.aliases.length > 0 && h("span", { class: "badges" }, model.aliases.map((each) => badge(each))));
}

function place(each) {
  return h("li", {}, h("code", {}, id(`${each.provider}/${each.model}`)), each.byok_only && [" ", badge("own keys only", "warn")], h("small", {}, each.costs ? prices(each.costs) : "Its cost is not known"));
}

function prices(found) {
  const main = Object.entries(CLASSES).filter(([name]) => name in found);
  if (main.length === 0) return "Nothing";
  const all = Object.entries(found).map(([name, price]) => `${name} $${price}`).join("\n");
  return h("span", { class: "prices", title: all }, main.map(([name, label]) => h("span", {}, usd(found[name]), ` ${label}`)));
}

function source(from, markup) {
  const told = {
    settings: ["Configuration", "good"],
    library: [markup === "1" ? "Library" : `Library × ${markup}`, ""],
    sim: ["Simulated", ""],
    unpriced: ["No price", "bad"],
  };
  return badge(...(told[from] ?? [from]));
}
