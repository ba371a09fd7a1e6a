// Server-sent events out of bytes, wherever these are cut (html.spec.whatwg.org, "Server-sent events").

const ENDS = /\r\n|\r(?!$)|\n/;

/** Takes text as it comes; gives what the events that are complete carry. */
class Frames {
  #rest = "";
  #data = [];

  /** Take more text; return the `data` of each event that it ends. */
  push(text) {
    const lines = (this.#rest + text).split(ENDS);
    // A carriage return at the very end may be half of a line's end: it waits for what follows.
    this.#rest = lines.pop();
    return lines.flatMap((line) => this.#line(line));
  }

  #line(line) {
    if (line === "") {
      const data = this.#data;
      this.#data = [];
      return data.length > 0 ? [data.join("\n")] : [];
    }
    if (line === "data") this.#data.push("");
    else if (line.startsWith("data:")) this.#data.push(line.slice(line[5] === " " ? 6 : 5));
    return []; // comments, and fields that nobody asks for
  }
}

/** Call `take` with the data of every event of a body, in order. Rejects where the body breaks off or is aborted. */
export async function eachEvent(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const frames = new Frames();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      frames.push(value).forEach(take);
    }
  } finally {
    reader.cancel().catch(() => {}); // `take` may have thrown: nobody listens any more
  }
}
