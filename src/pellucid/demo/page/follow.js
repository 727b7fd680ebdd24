// From a picture to its cutout: sent, asked for, waited for.
import { Problem, problemOf } from "./words.js";

const STATES = ["unasked", "pending", "busy", "ready", "stale", "failed", "no-subject", "no-credits", "problem"];
const AGAIN_MS = 2000, BUSY_MS = 6000;

// The bytes of `file` as an upload of this server: its document. `progress` is told the share that was sent.
export function upload(file, { signal, progress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch() cannot tell how much it has sent
    request.open("POST", "/-/uploads");
    request.upload.onprogress = event => event.lengthComputable && progress(event.loaded / event.total);
    request.onerror = () => reject(new Problem("network"));
    request.onabort = () => reject(signal.reason);
    request.onload = () => {
      if (request.status === 201) return resolve(JSON.parse(request.responseText));
      const problem = problemOf(request.status, request.responseText, request.getResponseHeader("retry-after"));
      return reject(problem.slug === "busy" ? new Problem("no-room", problem) : problem);
    };
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

export async function deleteUpload({ name, delete_key: key }) {
  const answer = await ask(`/-/uploads/${name}`, { method: "DELETE", headers: { authorization: `Bearer ${key}` } });
  if (!answer.ok && answer.status !== 404) throw new Problem("not-deleted");
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
    return await fetch(path, options);
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
    const { state, document } = readState(answer.headers.get("pellucid-cutout"));
    if (state === "ready" || state === "stale") await show(await answer.blob());
    else await answer.body?.cancel(); // the interim: the page shows the original already
    if (!["pending", "stale", "busy"].includes(state)) {
      const status = await readStatus(path, signal);
      signal.throwIfAborted();
      return { state, document: status || document, waited };
    }
    tell(state, document);
    await (state === "busy" ? pause(BUSY_MS, signal) : changed(path, state, { signal, tell }));
  }
}

// The status document of the picture at `path`; null if it cannot be had.
async function readStatus(path, signal) {
  const answer = await fetch("/-/status" + path, { signal }).catch(() => null);
  return answer?.ok ? answer.json() : null;
}

// `pending;position=3;eta=4` as {state, document}.
function readState(header) {
  const [state, ...rest] = (header || "ready").split(";");
  const { position, eta, reason } = Object.fromEntries(rest.map(part => part.trim().split("=")));
  return { state, document: { position: Number(position), eta_s: Number(eta), reason } };
}

// Until server-sent events tell of another state than `from`. Without events, a moment.
function changed(path, from, { signal, tell }) {
  return new Promise((resolve, reject) => {
    const source = new EventSource("/-/events" + path);
    let failures = 0;
    const end = done => {
      source.close();
      done();
    };
    const hear = event => {
      const document = JSON.parse(event.data);
      if (document.state !== from) return end(resolve);
      failures = 0;
      return tell(from, document);
    };
    for (const state of STATES) source.addEventListener(state, hear);
    source.onerror = () => { // it comes back by itself; one lost connection is nothing to speak of
      if (source.readyState === EventSource.CLOSED) setTimeout(resolve, AGAIN_MS);
      else if (++failures > 1) tell("lost", {});
    };
    signal.addEventListener("abort", () => end(() => reject(signal.reason)));
  });
}

const pause = (ms, signal) => new Promise((resolve, reject) => {
  setTimeout(resolve, ms);
  signal.addEventListener("abort", () => reject(signal.reason));
});
