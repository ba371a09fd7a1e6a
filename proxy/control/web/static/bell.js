// The bell: how many notices nobody has read, and the list of them.

import { get, post } from "./core/api.js";
import { fill, h, icon, must } from "./core/dom.js";
import { since } from "./core/format.js";
import { badge } from "./core/pieces.js";
import { button, empty, load } from "./core/ui.js";
import { worded } from "./parts/notice.js";

const NOTICES = "/api/user/notifications";
const SHOWN = 20;
const EVERY = 60_000;

/** Fill the place of the bell, and look for news as long as the page is seen. */
export function bell(place) {
  const opener = must("button", place);
  const list = must("#notices", place);
  const tell = (unread) => {
    opener.setAttribute("aria-label", unread ? `Notices, ${unread} unread` : "Notices");
    fill(opener, icon("bell"), unread > 0 && h("span", { class: "dot", "aria-hidden": "true" }, unread > 99 ? "99+" : unread));
  };
  // A page that only wants to know how many there are is not disturbed where that fails.
  const look = async () => {
    if (document.hidden) return;
    try {
      tell((await get(`${NOTICES}/notices`, { limit: 1 })).unread);
    } catch {}
  };
  list.addEventListener("toggle", (event) => event.newState === "open" && show(list, tell));
  document.addEventListener("visibilitychange", look);
  setInterval(look, EVERY);
  look();
}

function show(list, tell) {
  const part = h("div", {});
  fill(list, part);
  return load(part, async () => {
    const { notices, unread } = await get(`${NOTICES}/notices`, { limit: SHOWN });
    tell(unread);
    const read = async () => {
      await post(`${NOTICES}/read`, { id: notices[0].id });
      await show(list, tell);
      list.focus();
    };
    return [
      h("header", {}, h("h2", {}, "Notices"), unread > 0 && button("Mark all as read", read, { class: "small" })),
      notices.length ? h("ul", {}, notices.map(entry)) : empty("Nothing yet", "You are told here when your credits run low, or a daily budget is used up."),
      h("footer", {}, h("a", { href: "#settings/notifications", onclick: () => list.hidePopover() }, "What you are told of, and how")),
    ];
  });
}

function entry(notice) {
  const { title, text, more } = worded(notice);
  return h(
    "li",
    { class: notice.read ? null : "unread" },
    h("strong", {}, title, !notice.read && badge("New")),
    h("p", {}, text),
    h("small", {}, since(notice.created_at * 1000), more && [" · ", more]),
  );
}
