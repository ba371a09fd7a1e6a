// The page's own key: it lasts ten minutes, is kept in memory alone, and is renewed before it ends.

import { post } from "../core/api.js";

const LASTS = 9 * 60_000;
let held = null;

/** Return a key that is good for another minute; `refused` is one that turned out to be none. */
export async function token(refused = null) {
  if (held === null || held.key === refused || Date.now() > held.until) {
    const until = Date.now() + LASTS;
    held = { key: (await post("/api/user/playground-token")).key, until };
  }
  return held.key;
}
