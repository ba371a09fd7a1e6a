// The tab of an account's own keys at providers of speech.

import { h } from "../core/dom.js";
import { ownKeys } from "../parts/own-keys.js";

const WITHOUT = {
  title: "No audio keys yet",
  text: "Keep a key at ElevenLabs or Deepgram here, and test whether it works.",
};

export async function render() {
  const part = h("div", { class: "stack" });
  await ownKeys(part, { purpose: "audio", without: WITHOUT });
  const note = h(
    "p",
    { class: "note" },
    "Keys for ElevenLabs and Deepgram can be kept and tested, but no request goes there yet. Speech and transcription by providers of models use the keys under ",
    h("a", { href: "#settings/llm" }, "LLM BYOK"),
    ".",
  );
  return h("div", { class: "stack" }, note, part);
}
