// The page of projects.

import { fill, must } from "../core/dom.js";
import { newProjectButton, projects } from "../projects/list.js";
import { showUse } from "../projects/use.js";

const part = must("#projects");
fill(must("#page-actions"), newProjectButton(() => projects(part)));
projects(part);
showUse(must("#use-tabs"), must("#use"));
