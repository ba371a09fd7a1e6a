// Projects: the list, and what is done with one.

import { del, get, post } from "../core/api.js";
import { h } from "../core/dom.js";
import { date } from "../core/format.js";
import { badge } from "../core/pieces.js";
import { table } from "../core/table.js";
import { askBefore, button, empty, load, say, showOnce, small } from "../core/ui.js";
import { limitsText } from "../parts/limits.js";
import { create, edit, PROJECTS } from "./terms.js";

/** Fill a part of a page with the account's projects. */
export function projects(part) {
  const again = () => projects(part);
  return load(part, async () => {
    const found = (await get(PROJECTS)).projects;
    if (found.length === 0)
      return empty("No projects yet", "Make one for each application, customer or team that is to have its own key, limits and models.", newProjectButton(again));
    const columns = [
      { name: "Name", cell: named },
      { name: "Key", phone: "bare", cell: (project) => (project.key ? h("code", { class: "figure" }, project.key) : badge("No key", "warn")) },
      { name: "Limits", cell: limits },
      { name: "Made", cell: (project) => date(project.created_at * 1000) },
      { name: "Actions", kind: "actions", cell: (project) => actions(project, again) },
    ];
    return table("Projects", columns, found);
  });
}

/** A button that makes a project; `again` is called when there is one more. */
export function newProjectButton(again) {
  return button("New project", () => create(again), { class: "primary" });
}

function limits(project) {
  const applied = { ...project, rpm: project.rpm_applied, tokens_per_day: project.tokens_per_day_applied };
  const models = project.models && `Models: ${project.models.join(", ")}`;
  return h("small", { title: models }, limitsText(applied));
}

function named(project) {
  if (!project.webhook) return project.name;
  return h("span", { class: "stack tight" }, h("span", {}, project.name), h("small", { title: project.webhook }, "Webhook at ", new URL(project.webhook).host));
}

function actions(project, again) {
  const usage = `/usage?project=${encodeURIComponent(project.name)}`;
  return [
    h("a", { class: "button small", href: usage, "aria-label": `Usage of ${project.name}` }, "Usage"),
    small("Edit", project.name, () => edit(project, again)),
    small("Rotate key", project.name, () => askBefore(`Rotate the key of ${project.name}?`, "Its key ends now, and the next one is shown once. What runs by it finishes. Limits and models stay.", "Rotate key", async () => {
      const made = await post(`${PROJECTS}/${project.id}/rotate-key`);
      again();
      showOnce(`The new key of ${project.name}`, [[null, made.key]]);
    })),
    small("Delete", project.name, () => askBefore(`Delete ${project.name}?`, "Its key ends now, and every request that runs by it. What it used stays in the books.", "Delete", async () => {
      await del(`${PROJECTS}/${project.id}`);
      say("The project is deleted.");
      again();
    })),
  ];
}
