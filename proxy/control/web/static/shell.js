// What every page has: the menu, signing out, the bell, the settings dialog behind the gear.

import { bell } from "./bell.js";
import { post } from "./core/api.js";
import { complain } from "./core/ui.js";

const SETTINGS = "#settings/";

document.querySelector("#sign-out")?.addEventListener("click", async () => {
  try {
    await post("/api/auth/logout");
    location.assign("/login");
  } catch (error) {
    complain(error);
  }
});

async function settings() {
  if (!location.hash.startsWith(SETTINGS)) return;
  const { show } = await import("./settings/dialog.js");
  show(location.hash.slice(SETTINGS.length));
}

document.querySelector("#gear")?.addEventListener("click", () => {
  location.hash = `${SETTINGS}credits`;
});
if (document.querySelector("#gear")) {
  window.addEventListener("hashchange", settings);
  settings();
  bell(document.querySelector("#bell"));
}
