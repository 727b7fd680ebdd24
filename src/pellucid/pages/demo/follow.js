// From a picture to its cutout: sent, asked for, waited for.
import { authorization } from "../session.js";
import { Problem, problemOf } from "./words.js";

const AGAIN_MS = 2000, BUSY_MS = 6000;

// The bytes of `file` as an upload of this server: its document. `progress` is told the share that was sent.
export function upload(file, { signal, progress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch() cannot tell how much it has sent
    request.open("POST", "/-/uploads");
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.onprogress = event => event.lengthComputable && progress(event.loaded / event.total);
    request.onerror = () => reject(new Problem("network"));
    request.onabort = () => reject(signal.reason);
    request.onload = () => {
      if (request.status === 201) return resolve(JSON.parse(request.responseText));
      const problem = problemOf(request.status, request.responseText, request.getResponseHeader("retry-after"));
      const own = { busy: "no-room", "no-such-page": "no-uploads" }[problem.slug];
      return reject(own ? new Problem(own, problem) : problem);
    };
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

export async function deleteUpload({ name, delete_key: key }) {
  const answer = await ask(`/-/uploads/${name}`, { method: "DELETE", headers: { authorization: `Bearer ${key}` } });
  if (!answer.ok && answer.status !== 404) throw new Problem("not-deleted");
}

// Whether requests are answered with the key of this tab: that is decided before the picture at `path` is looked for.
export async function isWelcome(path = "/_samples_/any.jpg") {
  const answer = await ask(`/-/status${path}?bg_remove=1`, { cache: "no-store" });
  await answer.body?.cancel();
  return answer.status !== 401;
}

// The answer with a picture. Browsers keep pictures for a month, and what is at a URL may change: the server is asked.
// Throws Problem.
export async function fetchPicture(path, signal) {
  const answer = await ask(path, { signal, cache: "no-cache" });
  if (!answer.ok) throw problemOf(answer.status, await answer.text(), answer.headers.get("retry-after"));
  return answer;
}

async function ask(path, options) {
  try {
    return await fetch(path, { headers: authorization(), ...options });
  } catch (error) {
    throw error instanceof TypeError ? new Problem("network") : error;
  }
}

// Ask for the cutout at `path` until its state is final: {state, document, waited}. `tell(state, document)` hears the
// states before; `show(blob)` gets the cutout, and before it an earlier one where there is one.
export async function followCutout(path, { signal, tell, show }) {
  for (let waited = false; ; waited = true) {
    let answer;
    try {
      answer = await fetchPicture(path, signal);
    } catch (error) {
      if (!waited || error.slug !== "network") throw error;
      tell("lost", {});
      await pause(AGAIN_MS, signal);
      continue;
    }
    const { state, document } = readState(answer.headers);
    if (state === "ready" || state === "stale") await show(await answer.blob());
    else await answer.body?.cancel(); // the interim: the page shows the original already
    if (!["pending", "stale", "busy"].includes(state)) {
      const status = await readStatus(path, signal);
      signal.throwIfAborted();
      return { state, document: { ...status, ...document }, waited };
    }
    tell(state, document);
    await (state === "busy" ? pause(BUSY_MS, signal) : changed(path, state, { signal, tell }));
  }
}

// The status document of the picture at `path`; null if it cannot be had.
export async function readStatus(path, signal) {
  const answer = await ask("/-/status" + path, { signal, cache: "no-store" }).catch(() => null);
  return answer?.ok ? answer.json() : null;
}

// What an answer says of the cutout, `pending;position=3;eta=4`, as {state, document}; and whether its origin is damaged.
export function readState(headers) {
  const [state, ...rest] = (headers.get("pellucid-cutout") || "ready").split(";");
  const { position, eta, reason } = Object.fromEntries(rest.map(part => part.trim().split("=")));
  const said = { position: Number(position) || null, eta_s: Number(eta) || null, reason };
  if (!reason && state === "failed" && headers.get("pellucid-origin")?.startsWith("damaged")) said.reason = "damaged";
  return { state, document: Object.fromEntries(Object.entries(said).filter(([, value]) => value)) };
}

// Until the server tells of another state than `from`. Where it tells nothing, a moment.
async function changed(path, from, { signal, tell }) {
  for (let failures = 0; ;) {
    try {
      for await (const document of events(path, signal)) {
        if (document.state !== from) return;
        failures = 0;
        tell(from, document);
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Problem) && !(error instanceof TypeError)) throw error;
      if (error.slug === "no-events") return pause(AGAIN_MS, signal);
    }
    if (++failures > 1) tell("lost", {}); // one lost connection is nothing to speak of
    await pause(AGAIN_MS, signal);
  }
}

// The documents of server-sent events (WHATWG HTML, section 9.2). EventSource would send no key.
async function* events(path, signal) {
  const answer = await ask("/-/events" + path, { signal, cache: "no-store" });
  if (answer.status !== 200) {
    await answer.body?.cancel();
    throw new Problem("no-events");
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let text = ""; ;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const data = block.split("\n").filter(line => line.startsWith("data:")).map(line => line.slice(5)).join("\n");
        if (data) yield JSON.parse(data);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

const pause = (ms, signal) => new Promise((resolve, reject) => {
  setTimeout(resolve, ms);
  signal.addEventListener("abort", () => reject(signal.reason));
});
