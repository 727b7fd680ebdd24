// Everything the page says of states and problems.

const READABLE = "JPEG, PNG, WebP, AVIF, HEIC, TIFF or GIF";

const PROBLEMS = {
  "upload-too-large": ({ limit }) => `The file is too large. Choose ${limit ? `one of up to ${bytes(limit)}` : "a smaller one"}, or give the URL of the picture.`,
  "unsupported-format": `This is no picture that can be read here. Choose a ${READABLE}.`,
  "empty-origin": "The file at this URL is empty. Give another URL, or save the picture and drop it here.",
  "bad-image": "The picture is damaged and cannot be read. Save it anew, or choose another one.",
  "image-limit": "The picture has more pixels than this server takes. Make it smaller, then try again.",
  "too-many-uploads": ({ retry }) => `You have sent as many pictures as this server keeps for one visitor. Delete one, or try again ${after(retry)}.`,
  "no-room": ({ retry }) => `This server can take no picture now. Try again ${after(retry)}, or give the URL of a picture.`,
  "origin-too-large": "The file at this URL is too large. Give the URL of a smaller version.",
  "origin-refused": "This server does not fetch from there. Give another URL, or save the picture and drop it here.",
  "origin-forbidden": "That site does not give this picture to us. Save it in your browser, then drop it here.",
  "origin-not-found": "There is no picture at this URL. Check its spelling, then try again.",
  "origin-unreachable": "That site cannot be reached. Check the name of the host, or try again later.",
  "origin-timeout": "That site takes too long to answer. Try again later, or save the picture and drop it here.",
  origin: "That site has a fault. Try again later, or save the picture and drop it here.",
  "bad-origin": "This is no URL of a picture. It needs a host and a path, such as https://example.com/purse.jpg.",
  "no-such-page": "This is no URL of a picture. It needs a host and a path, such as https://example.com/purse.jpg.",
  "no-uploads": "This server takes no uploads. Give the URL of a picture instead.",
  "key-first": "Enter a customer's key first: without one, this server takes no pictures.",
  "key-needed": "This server answers its customers only, and this key is none of theirs. Check it, or ask whoever runs the server.",
  busy: ({ retry }) => `The server has too much to do. Try again ${after(retry)}.`,
  network: "The server cannot be reached. Check your connection, then try again.",
  "upload-timeout": "Sending the picture took too long. Try a better connection, or a smaller picture.",
  "bad-upload": "The picture did not arrive whole. Send it again.",
  "not-a-picture": `There is no picture in what you gave. Choose a ${READABLE}.`,
  "empty-file": "The file is empty: there is not a byte in it. Choose another one.",
  "too-many-files": ({ limit }) => `These are too many files. Give ${limit} at a time.`,
  folder: "That is a folder. Open it, and drop the pictures in it.",
  "no-file": "None of these files can be used.",
  "own-composite": "Your browser cannot make a picture this large. Choose a smaller width, then download again.",
  "not-ready": "The picture to download is not ready. Try again in a moment.",
  "own-backdrop": "Your browser cannot show this file as a backdrop. Choose a JPEG, PNG or WebP.",
  "not-deleted": "The picture could not be deleted. Try again; it goes by itself in any case.",
  gone: "The picture is no longer kept here. Give it again.",
  fault: "The server has a fault. Try again in a minute.",
};

// The same in a few words, where several files are told of together.
const SHORT = {
  "upload-too-large": ({ limit }) => `larger than ${bytes(limit)}`,
  "empty-file": () => "empty",
  "not-a-picture": () => "no picture",
  "too-many-files": ({ limit }) => `more than ${limit} at a time`,
};

// Why there is no cutout, by the reason that the server names.
const REASONS = {
  "attempts-used-up": again => `The cutout failed, however often it was tried. Try again ${again}, or try another picture`,
  damaged: () => "The file is damaged or was cut short, so it is shown as far as it goes and not cut out. Give a whole one",
  undecodable: () => "The picture cannot be read to its end, so it is not cut out. Save it anew, or try another one",
  "too-large": () => "The picture has more pixels than this server cuts out. Make it smaller, then try again",
  "recipe-not-here": again => `No worker of this server can make this cutout. Choose another quality, or try again ${again}`,
};

// A problem with a sentence for a person. `slug` ends the type of a problem document (RFC 9457); `retry` in seconds,
// `limit` in bytes.
export class Problem extends Error {
  constructor(slug, { detail, retry, limit } = {}) {
    super(detail || slug);
    Object.assign(this, { slug, detail, retry, limit });
  }
  get sentence() {
    const words = PROBLEMS[this.slug];
    return (typeof words === "function" ? words(this) : words) || this.detail || "Something went wrong. Try again.";
  }
  get short() { return SHORT[this.slug]?.(this) ?? this.sentence; }
}

// The problem that an answer tells of; works for answers that are no problem documents.
const BY_STATUS = { 413: "upload-too-large", 429: "too-many-uploads", 502: "network", 503: "busy", 504: "network" };
export function problemOf(status, body, retryAfter) {
  let document = {};
  try { document = JSON.parse(body); } catch { /* a proxy's page */ }
  const named = document.type?.split(":").pop() || BY_STATUS[status];
  const slug = named in PROBLEMS || status < 500 ? named : "fault";
  return new Problem(slug, { detail: document.detail || document.title, retry: Number(retryAfter) || null });
}

export const bytes = count => count >= 1e6 ? `${Math.round(count / 1048576 * 10) / 10} MB` : `${Math.max(1, Math.round(count / 1024))} kB`;

export function duration(seconds) {
  const [, size, unit] = [[129600, 86400, "day"], [3500, 3600, "hour"], [90, 60, "minute"], [0, 1, "second"]].find(([from]) => seconds >= from);
  return Math.ceil(seconds / size - 0.5).toLocaleString("en", { style: "unit", unit, unitDisplay: "long" });
}

export const seconds = s => `${s.toFixed(s < 0.1 ? 2 : 1)} s`;

const after = retry => retry ? `in ${duration(retry)}` : "later";
const number = value => value.toLocaleString("en");

// A state of the asynchronous contract. `document` is a status document, as far as it is known; `key` as in the page's
// facts: whether a key opens more.
export function stateWords(state, { position, eta_s: eta, reason, retry_in_s: retry, credits } = {}, { key } = {}) {
  const about = eta ? `, about ${duration(eta)}` : "";
  switch (state) {
    case "pending": return position > 1 ? `Waiting: number ${position} in the queue${about}` : `Cutting out${about}`;
    case "busy": return "The server has too much to do. This page asks again by itself";
    case "lost": return "The server does not answer. This page asks again by itself";
    case "stale": return "An earlier cutout; a new one is being made";
    case "failed": return REASONS[reason]?.(after(retry)) ?? `The cutout failed${reason ? ` (${reason.replaceAll("-", " ")})` : ""}. Try again ${after(retry)}, or try another picture`;
    case "no-subject": return "No subject was found, so the original is shown. Try another picture, or the quality “Best”";
    case "no-credits": return reason
      ? `${key ? "Without a key, this" : "This"} server cuts out pictures of certain sites only, so the original is shown. ${key ? "Enter yours above" : "Ask whoever runs it"}`
      : `There are not enough credits, so the original is shown. ${nextMonth(credits)}`;
    default: return "";
  }
}

function nextMonth({ resets_at: resets } = {}) {
  if (!resets) return "Ask whoever runs this server";
  const day = new Date(resets).toLocaleDateString("en-GB", { day: "numeric", month: "long", timeZone: "UTC" });
  return `There will be new ones on ${day}`;
}

// What a removal costs, or did, as rows of [name, value]. From the member `credits` of a status document.
export function creditRows(state, { price, charged, remaining }) {
  const isDone = ["ready", "stale", "no-subject", "failed"].includes(state);
  const paid = charged ? `${number(charged)} credits` : "nothing";
  const rows = [isDone ? ["Charged", paid] : ["Costs", `${number(price)} credits`]];
  if (remaining !== undefined) rows.push(["Credits", `${number(remaining)} left this month`]);
  return rows;
}
