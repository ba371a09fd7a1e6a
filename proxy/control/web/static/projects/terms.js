// What is set of a project: the form that makes one, and the form that changes it.

import { post, put } from "../core/api.js";
import { h } from "../core/dom.js";
import { dialog, field, say, showOnce, submits, toggle } from "../core/ui.js";
import { limitFields, limitsOf } from "../parts/limits.js";

export const PROJECTS = "/api/user/projects";
const UNSET = { rpm: "10", tokens_per_day: "10000" }; // what counts where a project sets nothing
const UNSET_HINT = "Empty is 10 requests a minute and 10,000 tokens a day; the others have no limit of their own. The plan’s count in any case.";
const HEARS = "An https address that is told when the key is replaced or revoked.";

/** Ask for a project and make it; its key and its webhook's secret are shown once. */
export function create(again) {
  const form = terms({}, "Make the project");
  const shown = dialog("New project", form);
  submits(form, async (data) => {
    const url = data.get("webhook").trim();
    const made = await post(PROJECTS, { ...given(data), ...(url && { webhook: url }) });
    shown.close();
    again();
    showOnce("Your new project", [["Key", made.key], ...secretOf(made)], made.webhook_secret && howSigned());
  });
}

/** Ask what is to be changed of a project, and change it. */
export function edit(project, again) {
  const renewed = h("input", { type: "hidden", name: "renewed", value: "" });
  const renew = project.webhook && toggle("New signing secret", false, (on) => (renewed.value = on ? "yes" : ""), "The webhook’s secret ends, and the next one is shown once.");
  const form = terms(project, "Save", renewed, renew);
  const shown = dialog(`Edit ${project.name}`, form);
  submits(form, async (data) => {
    const changed = await put(`${PROJECTS}/${project.id}`, { ...given(data), ...webhookOf(project, data) });
    shown.close();
    again();
    if (changed.webhook_secret) return showOnce("The webhook’s new secret", secretOf(changed), howSigned());
    return say("The project is changed.");
  });
}

function terms(project, action, ...more) {
  return h(
    "form",
    { class: "stack" },
    field("Name", h("input", { name: "name", value: project.name ?? "", maxlength: 256, required: true, autocomplete: "off", autofocus: true })),
    limitFields(project, UNSET, UNSET_HINT),
    field("Webhook", h("input", { name: "webhook", type: "url", value: project.webhook ?? "", maxlength: 4096, autocomplete: "off", inputmode: "url" }), HEARS),
    more,
    h("div", { class: "actions" }, h("button", { class: "primary" }, action)),
  );
}

const given = (data) => ({ name: data.get("name").trim(), ...limitsOf(data) });

/** What is said of the webhook: nothing where it stays, for to name it again is to give it another secret. */
function webhookOf(project, data) {
  const url = data.get("webhook").trim() || null;
  return url === project.webhook && !(url && data.get("renewed")) ? {} : { webhook: url };
}

const secretOf = (made) => (made.webhook_secret ? [["Signing secret of the webhook", made.webhook_secret]] : []);

function howSigned() {
  return h("p", { class: "dim" }, "Calls are signed by it as ", h("a", { href: "https://www.standardwebhooks.com" }, "Standard Webhooks"), " has it.");
}
