// Another password: asked for when the one used was made by the gateway.

import { post } from "../core/api.js";
import { must } from "../core/dom.js";
import { submits } from "../core/ui.js";

const form = must("form");

submits(form, async (data) => {
  if (data.get("new_password") !== data.get("again")) throw new Error("The two new passwords are not the same.");
  await post("/api/auth/password", { password: data.get("password"), new_password: data.get("new_password") });
  location.assign("/");
});
