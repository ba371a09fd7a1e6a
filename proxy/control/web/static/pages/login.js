// Signing in, and making an account where the operator lets people.

import { post } from "../core/api.js";
import { must } from "../core/dom.js";
import { submits } from "../core/ui.js";

const form = must("form");

submits(form, async (data) => {
  const signed = await post(form.dataset.to, { email: data.get("email").trim(), password: data.get("password") });
  location.assign(signed.password_change_required ? "/password" : next());
});

/** Where the visitor wanted to go: a page of ours, or the first one. Two slashes would begin somebody's name. */
function next() {
  const wanted = new URL(new URLSearchParams(location.search).get("next") ?? "/", location.origin);
  return wanted.origin === location.origin && !wanted.pathname.startsWith("//") ? wanted.href : "/";
}
