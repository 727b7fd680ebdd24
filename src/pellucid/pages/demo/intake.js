// What is given at once: which of the files can be used, and the row of those that wait for their turn.
import { Problem } from "./words.js";

const MOST = 24; // files that are offered; each holds a picture in the browser's memory

// `files` as {good, left}: those to send, and what is wrong with the others, as [name, problem].
export function sortFiles(files, limit) {
  const good = [], left = [];
  for (const file of files) {
    const problem = problemWith(file, limit);
    if (problem) left.push([file.name, problem]);
    else if (good.length < MOST) good.push(file);
    else left.push([file.name, new Problem("too-many-files", { limit: MOST })]);
  }
  return { good, left };
}

function problemWith({ type, size }, limit) {
  if (type && !type.startsWith("image/")) return new Problem("not-a-picture");
  if (!size) return new Problem("empty-file");
  return size > limit ? new Problem("upload-too-large", { limit }) : null;
}

// What is said of several files: how it goes on with the good ones, and why others are left out.
export function describeFiles({ good, left }) {
  const said = good.length > 1 ? [`${good.length} pictures, one at a time: choose the next one below.`] : [];
  if (left.length) said.push(`Left out: ${left.slice(0, 3).map(([name, problem]) => `${name} (${problem.short})`).join(", ")}${left.length > 3 ? ` and ${left.length - 3} more` : ""}.`);
  return said.join(" ");
}

// The row of pictures that were given together. `give(entry)` is called for the one that is chosen; an entry is {file,
// picture}, the latter once it was sent.
export class Tray {
  constructor(list, give) {
    this.list = list;
    this.give = give;
    this.entries = this.urls = [];
  }

  show(files) {
    for (const url of this.urls) URL.revokeObjectURL(url);
    const entries = this.entries = files.map(file => ({ file, picture: null }));
    this.urls = entries.map(({ file }) => URL.createObjectURL(file));
    this.list.replaceChildren(...entries.length > 1 ? entries.map((entry, at) => this.rowOf(entry, this.urls[at])) : []);
    this.list.hidden = entries.length < 2;
    return entries;
  }

  rowOf(entry, url) {
    const image = Object.assign(new Image(48, 36), { src: url, alt: "", decoding: "async", draggable: false });
    image.onerror = () => image.remove(); // HEIC, in most browsers
    const name = Object.assign(document.createElement("span"), { textContent: entry.file.name });
    const button = Object.assign(document.createElement("button"), { title: entry.file.name });
    button.append(image, name);
    button.onclick = () => this.give(entry);
    entry.button = button;
    const row = document.createElement("li");
    row.append(button);
    return row;
  }

  mark(entry) {
    for (const each of this.list.querySelectorAll("[aria-current]")) each.removeAttribute("aria-current");
    entry?.button?.setAttribute("aria-current", "true");
  }

  // Take out the one that was sent as `upload`: it is deleted.
  forget(upload) {
    const entry = this.entries.find(each => each.picture?.upload.name === upload.name);
    entry?.button?.closest("li").remove();
    this.list.hidden = !this.list.children.length;
  }
}
