// A gateway of the tests' own: in a directory that is gone afterwards, on a port the kernel chose.

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after } from "node:test";

const HEADRACE = resolve(process.env.HEADRACE ?? "../../.venv-dev/bin/headrace");
const SETTINGS = `
[server]
bind = "127.0.0.1:0"
[metrics]
bind = ""
[aliases]
fast = ["sim/echo"]
`;

/** Start it; it is stopped when the file's tests are over. Resolves to its address and its first key. */
export async function start() {
  const directory = await mkdtemp(join(tmpdir(), "headrace-"));
  await writeFile(join(directory, "headrace.toml"), SETTINGS);
  const child = spawn(HEADRACE, ["serve", "--config", "headrace.toml"], {
    cwd: directory,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = new Promise((done) => child.once("exit", done));
  after(async () => {
    child.kill("SIGTERM");
    await exited;
    await rm(directory, { recursive: true });
  });
  let printed = "";
  return new Promise((started, failed) => {
    exited.then(() => failed(new Error(`the gateway did not start: ${printed}`)));
    child.stdout.on("data", (bytes) => {
      printed += bytes;
      const found = /serving on (\S+)[\s\S]*?key\s+(\S+)[\s\S]*curl/.exec(printed);
      if (found !== null) started({ url: found[1], key: found[2] });
    });
  });
}

/** Return what became of a request, by the id in its answer's header fields. */
export async function generation({ url, key }, id) {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const answer = await fetch(`${url}/v1/generation?id=${id}`, { headers: { "x-api-key": key } });
    if (answer.ok) return (await answer.json()).data;
    // Until the gateway has noticed that its client has gone.
    if (answer.status !== 404 || Date.now() > deadline) throw new Error(await answer.text());
    await new Promise((done) => setTimeout(done, 20));
  }
}
