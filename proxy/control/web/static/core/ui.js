// What pages are made of: dialogs, fields, forms, messages, secrets that are shown once.

import { fill, freshId, h, icon, must } from "./dom.js";

/** Show a modal dialog; `closed` is called when it is gone, however that came. */
export function dialog(title, content, closed = () => {}) {
  const id = freshId();
  const shown = h(
    "dialog",
    { "aria-labelledby": id, class: "modal" },
    h(
      "header",
      {},
      h("h2", { id }, title),
      h("button", { class: "quiet square", type: "button", "aria-label": "Close", onclick: () => shown.close() }, icon("close")),
    ),
    h("div", { class: "body" }, content),
  );
  shown.addEventListener("close", () => {
    shown.remove();
    closed();
  });
  document.body.append(shown);
  shown.showModal();
  return shown;
}

/** A labelled control, with a hint below it where there is one. */
export function field(label, control, hint = null) {
  control.id ||= freshId();
  const note = hint === null ? null : h("small", { id: `${control.id}-hint` }, hint);
  if (note) control.setAttribute("aria-describedby", note.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, note);
}

/** A switch with its words beside it. */
export function toggle(label, checked, changed, hint = null) {
  const box = h("input", { type: "checkbox", role: "switch", checked, onchange: () => changed(box.checked, box) });
  return h("label", { class: "toggle" }, box, h("span", {}, label, hint && h("small", {}, hint)));
}

/** Do `work` when the form is sent: its buttons wait meanwhile, a refusal is shown above them. */
export function submits(form, work) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const buttons = [...form.querySelectorAll("button")].filter((button) => !button.disabled);
    form.querySelector(".failure")?.remove();
    await during(buttons, async () => {
      try {
        await work(new FormData(form));
      } catch (error) {
        const actions = form.querySelector(".actions");
        const shown = failure(error);
        if (actions) actions.before(shown);
        else form.append(shown);
      }
    });
  });
}

/** A button that does something which takes a while; a refusal is told in a message. */
export function button(label, work, properties = {}) {
  const made = h("button", { type: "button", ...properties }, label);
  made.addEventListener("click", () =>
    during([made], async () => {
      try {
        await work();
      } catch (error) {
        complain(error);
      }
    }),
  );
  return made;
}

/** A small one in a row of a list: of what it does something is said to who does not see the row. */
export function small(label, of, work) {
  return button(label, work, { class: "small", "aria-label": `${label} ${of}` });
}

async function during(buttons, work) {
  for (const each of buttons) {
    each.disabled = true;
    each.setAttribute("aria-busy", "true");
  }
  try {
    await work();
  } finally {
    for (const each of buttons) {
      each.disabled = false;
      each.removeAttribute("aria-busy");
    }
  }
}

/** What went wrong, what helps, and the request id, as a block. */
export function failure(error, retry = null) {
  return h(
    "div",
    { class: "failure", role: "alert" },
    h("p", {}, error.message || "Something failed in this page."),
    error.id && h("small", {}, "Request ", h("code", {}, error.id)),
    retry && button("Try again", retry),
  );
}

/** Say something for a while, where it covers nothing that is being read. */
export function say(text, kind = "done") {
  const shown = h("div", { class: `toast ${kind}` }, h("span", {}, text));
  const toasts = must("#toasts");
  toasts.append(shown);
  // Shown anew it is above whatever dialog has been opened since.
  if (toasts.matches(":popover-open")) toasts.hidePopover();
  toasts.showPopover();
  setTimeout(() => shown.remove(), kind === "done" ? 4000 : 12000);
}

/** Say that something was refused. */
export function complain(error) {
  say([error.message || "Something failed in this page.", error.id && h("small", {}, `Request ${error.id}`)].filter(Boolean), "bad");
}

/** Ask whether something that cannot be taken back is meant; do it, or close. */
export function askBefore(title, text, action, work) {
  const form = h(
    "form",
    { class: "stack" },
    h("p", {}, text),
    h(
      "div",
      { class: "actions" },
      h("button", { type: "button", onclick: () => shown.close() }, "Cancel"),
      h("button", { class: "danger" }, action),
    ),
  );
  const shown = dialog(title, form);
  submits(form, async () => {
    await work();
    shown.close();
  });
}

/** Show what is never shown again, to be copied. */
export function showOnce(title, secrets, ...more) {
  return new Promise((resolve) => {
    const shown = dialog(
      title,
      h(
        "div",
        { class: "stack" },
        h("p", {}, "Copy it now: it is not kept, and is never shown again."),
        secrets.map(([label, secret]) => h("div", { class: "stack tight" }, label && h("strong", {}, label), copyable(secret, "Copy", "secret"))),
        more,
        h("div", { class: "actions" }, h("button", { class: "primary", type: "button", onclick: () => shown.close() }, "I have copied it")),
      ),
      resolve,
    );
  });
}

/** A text in a box, and a button that copies it. */
export function copyable(text, label = "Copy", kind = "") {
  return h("div", { class: `copyable ${kind}` }, h("pre", { tabindex: "0" }, h("code", {}, text)), copyButton(() => text, label));
}

/** A button that copies what `text` returns; `name` tells what, where the label alone does not. */
export function copyButton(text, label = "Copy", name = null) {
  const made = h("button", { type: "button", class: "small", "aria-label": name }, label);
  made.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      fill(made, "Copied");
    } catch {
      fill(made, "Select it and copy");
    }
    setTimeout(() => fill(made, label), 2000);
  });
  return made;
}

/** What stands where nothing is yet: what this is, and what to do next. */
export function empty(title, text, ...actions) {
  return h("div", { class: "empty" }, h("strong", {}, title), h("p", {}, text), actions.length > 0 && h("div", { class: "actions" }, actions));
}

/** Fill a part of a page once it is there; until then it shows that it is on its way, then what went wrong. */
export async function load(part, work) {
  part.setAttribute("aria-busy", "true");
  try {
    const made = await work();
    if (made !== undefined) replace(part, made);
  } catch (error) {
    fill(part, failure(error, () => load(part, work)));
  } finally {
    part.removeAttribute("aria-busy");
  }
}

/** Give a part other content; the focus stays in it where it was. */
function replace(part, made) {
  const focused = part.contains(document.activeElement) && part !== document.activeElement;
  fill(part, made);
  if (!focused) return;
  part.tabIndex = -1;
  part.focus({ preventScroll: true });
}

const successors = new WeakMap();

/**
 * Fill a part of a page anew, by `work` in an element of its own: what was there stays until that has come.
 * Where it is asked again meanwhile, the last one counts: returns whether this was it.
 */
export async function renew(part, work) {
  const next = h("div", { class: part.className });
  successors.set(part, next);
  part.setAttribute("aria-busy", "true");
  await load(next, () => work(next));
  if (successors.get(part) !== next) return false;
  fill(part, next);
  part.removeAttribute("aria-busy");
  return true;
}

/** Grey lines in the place of what is on its way. */
export function skeleton(lines) {
  return h("div", { class: "skeleton", "aria-hidden": "true" }, Array.from({ length: lines }, () => h("span")));
}
