// From a picture to its cutout: sent, asked for, waited for.
import { Problem, problemOf } from "./words.js";

const STATES = ["unasked", "pending", "busy", "ready", "stale", "failed", "no-subject", "no-credits", "problem"];
const AGAIN_MS = 2000, BUSY_MS = 6000;

// The bytes of `file` as an upload of this server: its document. `progress` is told the share that was sent.
export function upload(file, { signal, progress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch() cannot tell how much it has sent
    request.open("POST", "/-/uploads");
    request.setRequestHeader("content-type", file.type || "application/octet-stream");
    request.upload.onprogress = event => event.lengthComputable && progress(event.loaded / event.total);
    request.onerror = () => reject(new Problem("network"));
    request.onabort = () => reject(signal.reason);
    request.onload = () => request.status === 201
      ? resolve(JSON.parse(request.responseText))
      : reject(problemOf(request.status, request.responseText, request.getResponseHeader("retry-after")));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

export async function deleteUpload({ name, delete_key: key }) {
  const answer = await ask(`/-/uploads/${name}`, { method: "DELETE", headers: { authorization: `Bearer ${key}` } });
  if (!answer.ok && answer.status !== 404) throw new Problem("not-deleted");
}

// A picture as a blob. Raises Problem.
export async function fetchPicture(path, options) {
  const answer = await ask(path, options);
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

// Ask for the cutout at `path` until its state is final. `tell(state, document)` hears every state, `show(blob, state)`
// gets a cutout; it is called twice where an earlier cutout is there and a new one owed. Returns {state, document, waited}.
export async function followCutout(path, { signal, tell, show }) {
  let cache = "default", waited = false;
  for (;;) {
    const answer = await fetchPicture(path, { signal, cache });
    const { state, document } = readState(answer.headers.get("pellucid-cutout"));
    tell(state, document);
    if (state === "ready" || state === "stale") await show(await answer.blob(), state);
    else await answer.body?.cancel(); // the interim: the page shows the original already
    if (state === "pending" || state === "stale") {
      waited = true;
      await changed(path, state, { signal, tell });
    } else if (state === "busy") {
      waited = true;
      await pause(BUSY_MS, signal);
    } else {
      return { state, document: await readStatus(path, signal) || document, waited };
    }
    cache = "no-cache"; // the interim may be kept for 5 s
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
  const values = Object.fromEntries(rest.map(part => part.trim().split("=")));
  const number = name => name in values ? Number(values[name]) : undefined;
  return { state, document: { position: number("position"), eta_s: number("eta"), reason: values.reason } };
}

// Until server-sent events tell of another state than `from`. Without events, a moment.
function changed(path, from, { signal, tell }) {
  return new Promise((resolve, reject) => {
    const source = new EventSource("/-/events" + path);
    const end = done => {
      source.close();
      done();
    };
    const hear = event => {
      const document = JSON.parse(event.data);
      if (document.state === from) tell(from, document);
      else end(resolve);
    };
    for (const state of STATES) source.addEventListener(state, hear);
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(resolve, AGAIN_MS);
    });
    signal.addEventListener("abort", () => end(() => reject(signal.reason)));
  });
}

const pause = (ms, signal) => new Promise((resolve, reject) => {
  setTimeout(resolve, ms);
  signal.addEventListener("abort", () => reject(signal.reason));
});
