// A model's answer as it is read: paragraphs, headings, code. What is no more than that stays as it was written.

import { fill, h } from "./dom.js";
import { copyButton } from "./ui.js";

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/;
const HEAD = /^#{1,6} +(.+?)(?: +#+)?$/;
const MARKED = /(`[^`\n]+`|\*\*[^*\n]+\*\*)/;

/** Cut text into blocks {kind: "text", "head" or "code", text, name}; `name` is the language of code. */
export function blocks(text) {
  const found = [];
  let open = null;
  let lines = [];
  const close = (kind, name = "") => {
    if (lines.length > 0 || kind === "code") found.push({ kind, name, text: lines.join("\n") });
    lines = [];
  };
  for (const line of text.split("\n")) {
    const fence = FENCE.exec(line);
    if (open) {
      const ends = fence && fence[2] === "" && fence[1].startsWith(open[1]);
      if (ends) close("code", open[2]);
      else lines.push(line);
      if (ends) open = null;
    } else if (fence) {
      close("text");
      open = fence;
    } else if (HEAD.test(line)) {
      close("text");
      lines = [HEAD.exec(line)[1]];
      close("head");
    } else if (line.trim() === "") close("text");
    else lines.push(line);
  }
  close(open ? "code" : "text", open?.[2]);
  return found;
}

/** A place for text that grows: returns {element, write(text)}. What has not changed is left alone. */
export function prose() {
  const element = h("div", { class: "prose" });
  let shown = [];
  function write(text) {
    const wanted = blocks(text);
    wanted.forEach((block, place) => {
      const old = shown[place];
      if (old?.kind === block.kind && old.name === block.name && old.text === block.text) return;
      const at = element.children[place];
      if (old?.kind === "code" && block.kind === "code" && old.name === block.name) at.querySelector("code").textContent = block.text;
      else if (at) at.replaceWith(made(block));
      else element.append(made(block));
    });
    while (element.children.length > wanted.length) element.lastChild.remove();
    shown = wanted;
  }
  return { element, write };
}

function made(block) {
  if (block.kind === "code") return codeOf(block);
  return fill(h("p", { class: block.kind === "head" ? "head" : null }), block.text.split(MARKED).map(inline));
}

function codeOf(block) {
  const code = h("code", {}, block.text);
  const name = block.name ? `Code, ${block.name}` : "Code";
  return h("div", { class: "copyable" }, h("pre", { tabindex: "0", role: "region", "aria-label": name }, code), copyButton(() => code.textContent));
}

function inline(text, place) {
  if (place % 2 === 0) return text;
  return text.startsWith("`") ? h("code", {}, text.slice(1, -1)) : h("strong", {}, text.slice(2, -2));
}
