// Everything the page says of states and problems.

const READABLE = "JPEG, PNG, WebP, AVIF, HEIC, TIFF or GIF";

const PROBLEMS = {
  "upload-too-large": facts => `The file is too large. Choose one of up to ${bytes(facts.uploads?.max_bytes)}, or give the URL of the picture.`,
  "unsupported-format": () => `This is no picture that can be read here. Choose a ${READABLE}.`,
  "bad-image": () => "The picture is damaged and cannot be read. Save it anew, or choose another one.",
  "image-limit": () => "The picture has more pixels than this server takes. Make it smaller, then try again.",
  "too-many-uploads": (_, { retry }) => `You have sent as many pictures as this server keeps for one visitor. Delete one, or try again ${after(retry)}.`,
  "origin-too-large": () => "The file at this URL is too large. Give the URL of a smaller version.",
  "origin-refused": () => "This server does not fetch from there. Give another URL, or save the picture and drop it here.",
  "origin-forbidden": () => "That site does not give this picture to us. Save it in your browser, then drop it here.",
  "origin-not-found": () => "There is no picture at this URL. Check its spelling, then try again.",
  "origin-unreachable": () => "That site cannot be reached. Check the name of the host, or try again later.",
  "origin-timeout": () => "That site takes too long to answer. Try again later, or save the picture and drop it here.",
  "bad-origin": () => "This is no URL of a picture. It needs a host and a path, such as https://example.com/purse.jpg.",
  "no-such-page": () => "This server takes no uploads. Give the URL of a picture instead.",
  "key-needed": () => "This server answers only to callers with a key. Ask whoever runs it.",
  busy: (_, { retry }) => `The server has too much to do. Try again ${after(retry)}.`,
  network: () => "The server cannot be reached. Check your connection, then try again.",
  "upload-timeout": () => "Sending the picture took too long. Try a better connection, or a smaller picture.",
  "bad-upload": () => "The picture did not arrive whole. Send it again.",
  "not-a-picture": () => `There is no picture in what you gave. Choose a ${READABLE}.`,
  "own-backdrop": () => "Your browser cannot show this file as a backdrop. Choose a JPEG, PNG or WebP.",
  "not-deleted": () => "The picture could not be deleted. Try again; it goes by itself in any case.",
  store: () => "The server has a fault. Try again in a minute.",
};
for (const slug of ["queue", "database", "internal", "model", "cutout", "render"]) PROBLEMS[slug] = PROBLEMS.store;

// A problem with a sentence for a person. `slug` ends the type of a problem document (RFC 9457).
export class Problem extends Error {
  constructor(slug, { detail, retry } = {}) {
    super(detail || slug);
    Object.assign(this, { slug, detail, retry });
  }
  sentence(facts) {
    return PROBLEMS[this.slug]?.(facts, this) || this.detail || "Something went wrong. Try again.";
  }
}

// The problem that an answer tells of; works for answers that are no problem documents.
export function problemOf(status, body, retryAfter) {
  let document = {};
  try { document = JSON.parse(body); } catch { /* a proxy's page */ }
  const slug = String(document.type || "").split(":").pop() || ({ 413: "upload-too-large", 429: "too-many-uploads", 503: "busy" })[status] || "";
  return new Problem(slug, { detail: document.detail || document.title, retry: Number(retryAfter) || null });
}

export const bytes = count => count >= 1e6 ? `${Math.round(count / 1048576 * 10) / 10} MB` : `${Math.max(1, Math.round(count / 1024))} kB`;

export function duration(seconds) {
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (seconds >= (unit === "hour" ? 0.99 : 1.5) * size) {
      const count = Math.round(seconds / size);
      return `${count} ${unit}${count === 1 ? "" : "s"}`;
    }
  }
  return `${Math.ceil(seconds)} s`;
}

export const seconds = s => `${s < 0.1 ? s.toFixed(2) : s.toFixed(1)} s`;

const after = retry => retry ? `in ${duration(retry)}` : "later";

// A state of the asynchronous contract as {text}. `document` is a status document, as far as it is known.
export function stateWords(state, document = {}) {
  const { position, eta_s: eta, reason, retry_in_s: retry } = document;
  switch (state) {
    case "pending": {
      const about = eta ? `, about ${duration(eta)}` : "";
      return position > 1 ? `Waiting: number ${position} in the queue${about}` : `Cutting out${about}`;
    }
    case "busy": return "The server has too much to do. This page asks again by itself";
    case "stale": return "An earlier cutout; a new one is being made";
    case "failed": return `The cutout failed${reason ? ` (${reason.replaceAll("-", " ")})` : ""}. Try again ${after(retry)}, or try another picture`;
    case "no-subject": return "No subject was found, so the original is shown. Try another picture, or the quality “Best”";
    case "no-credits": return "The credits are used up, so the original is shown. Ask whoever runs this server";
    default: return "";
  }
}

// What a removal cost, from the member `credits` of a status document.
export function creditWords({ price, charged, remaining, resets_at: resets }) {
  const paid = charged === 0 || charged === false ? "nothing" : `${(typeof charged === "number" ? charged : price ?? 0).toLocaleString("en")}`;
  if (remaining === null || remaining === undefined) return paid;
  const until = resets ? ` until ${new Date(resets).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" })}` : "";
  return `${paid}, ${remaining.toLocaleString("en")} left${until}`;
}
