// The ways in which pictures come to the page besides typing: samples, the file chooser, paste, drag and drop.
import { key } from "../session.js";
import { byId, make } from "./dom.js";
import { fetchPicture } from "./follow.js";
import { Problem } from "./words.js";

// The samples at `paths`, anew when a key came or went: an <img> cannot send one.
export function drawSamples(paths, give) {
  const list = byId("samples").querySelector("ul");
  for (const image of list.querySelectorAll("img")) URL.revokeObjectURL(image.src);
  byId("samples").hidden = !paths.length;
  list.replaceChildren(...paths.map(path => {
    const name = path.split("/").pop().split(".")[0];
    const image = make("img", { alt: "", width: 160, height: 100, draggable: false });
    showThumb(image, `${path}?w=320`);
    const button = make("button", {}, image, make("span", {}, name[0].toUpperCase() + name.slice(1)));
    button.onclick = () => give({ path, encoded: false });
    return make("li", {}, button);
  }));
}

async function showThumb(image, path) {
  if (!key()) return void (image.src = path);
  try {
    image.src = URL.createObjectURL(await (await fetchPicture(path)).blob());
  } catch { /* its name is there */ }
}

// What to do with the files that are chosen in an input.
export function onFiles(id, act) {
  byId(id).onchange = event => {
    const files = [...event.target.files];
    event.target.value = "";
    if (files.length) act(files);
  };
}

// Files and addresses that are pasted or dropped anywhere.
export function onPasteAndDrop({ giveFiles, giveAddress, say }) {
  addEventListener("paste", event => {
    const { files } = event.clipboardData;
    const text = event.clipboardData.getData("text/plain").trim();
    if (files.length) giveFiles([...files]);
    else if (!(event.target instanceof HTMLInputElement) && /^https?:\/\/\S+$/.test(text)) giveAddress(text);
  });

  const onDrag = (type, act) => addEventListener(type, event => {
    if (event.dataTransfer?.types.some(each => each === "Files" || each === "text/uri-list")) act(event);
  });
  onDrag("dragover", event => {
    event.preventDefault();
    byId("drop-here").hidden = false;
  });
  onDrag("dragleave", event => { byId("drop-here").hidden = !event.relatedTarget; }); // null: out of the window
  onDrag("drop", event => {
    event.preventDefault();
    byId("drop-here").hidden = true;
    const isFolder = [...event.dataTransfer.items].some(item => item.webkitGetAsEntry?.()?.isDirectory);
    const { files } = event.dataTransfer;
    const link = event.dataTransfer.getData("text/uri-list").split("\n").find(line => line && !line.startsWith("#"));
    if (isFolder && files.length === 1) say(new Problem("folder"));
    else if (files.length) giveFiles([...files]);
    else if (link) giveAddress(link);
  });
}
