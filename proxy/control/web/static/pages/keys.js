// The page of API keys.

import { fill, must } from "../core/dom.js";
import { keys, newKeyButton } from "../parts/keys.js";

const part = must("#keys");
fill(must("#page-actions"), newKeyButton(() => keys(part)));
keys(part);
