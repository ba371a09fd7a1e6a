// The tab of research: how it is done where a request does not say.

import { get, put } from "../core/api.js";
import { options } from "../core/choose.js";
import { h } from "../core/dom.js";
import { field, say, submits } from "../core/ui.js";
import { modelBox } from "../parts/models.js";

const DEPTHS = [
  ["quick", "Quick: one look, a short answer"],
  ["standard", "Standard: several sources, compared"],
  ["deep", "Deep: many sources, questions followed up"],
];
const LANGUAGES = ["en", "de", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt-BR", "ru", "sv", "tr", "uk", "zh"];

export async function render() {
  const { research } = await get("/api/user/preferences");
  const form = h(
    "form",
    { class: "stack" },
    modelBox({ name: "model", label: "Model", value: research.model ?? "", optional: true, maxlength: 200, placeholder: "Chosen by the tool", hint: "Empty leaves it to the tool that does the research." }).element,
    h("div", { class: "columns" }, depth(research), sources(research)),
    language(research),
    h("div", { class: "actions" }, h("button", { class: "primary" }, "Save")),
  );
  submits(form, async (data) => {
    const text = (name) => data.get(name).trim() || null;
    await put("/api/user/preferences", { research: { model: text("model"), depth: data.get("depth"), max_sources: Number(data.get("max_sources")), language: text("language") } });
    say("The research defaults are saved.");
  });
  const note = h("p", { class: "note" }, "Defaults for tools that do research for your account. They are kept here for those tools to ask for; a request to a model is not changed by them.");
  return h("div", { class: "stack" }, note, form);
}

function depth(research) {
  return field("Depth", h("select", { name: "depth" }, options(DEPTHS, research.depth)));
}

function sources(research) {
  return field("Most sources", h("input", { name: "max_sources", type: "number", min: 1, max: 100, step: 1, required: true, value: research.max_sources }), "1 to 100");
}

function language(research) {
  const names = new Intl.DisplayNames(undefined, { type: "language" });
  const list = h("datalist", { id: "research-languages" }, LANGUAGES.map((tag) => h("option", { value: tag }, names.of(tag))));
  const input = h("input", { name: "language", value: research.language ?? "", placeholder: "That of the question", list: list.id, maxlength: 35, autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
  const made = field("Language of the answer", input, "A language tag: en, de, pt-BR. Empty is the language of the question.");
  made.append(list);
  return made;
}
