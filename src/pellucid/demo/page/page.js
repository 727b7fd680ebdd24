// The page: what is given, what is asked for, what is shown. It talks to the public URL API only.
import { address, cutoutParameters, readAddress, snippets } from "./address.js";
import { deleteUpload, fetchPicture, followCutout, upload } from "./follow.js";
import { BLUR_SHARE, Stage, findEdge } from "./stage.js";
import { Problem, bytes, creditWords, duration, seconds, stateWords } from "./words.js";

const byId = id => document.getElementById(id);
const facts = JSON.parse(byId("facts").textContent);
const stage = new Stage(byId);
const PREVIEW_PX = 1200, SLOW_MS = 300, WIDTHS = [400, 800, 1200, 1600, 2400, 3200];
const COLOURS = [["ffffff", "White"], ["1c1d20", "Black"], ["e9e4da", "Sand"], ["f3c9c0", "Rose"], ["b9d4e4", "Sky"], ["0f766e", "Teal"]];
const [original, cutout, backdrop] = [byId("before"), byId("cutout"), byId("backdrop")];

// The picture at hand: {source: {path, encoded} once the server can fetch it, upload, natural width, local}.
let picture = null;
const wish = { width: null, format: "webp", tier: facts.tier, backdrop: "clear", colour: null };
let own = null; // object URL of the backdrop that was chosen
let clear = null; // {key, url}: the transparent cutout, for previews of colours and for its edge
let given = new AbortController(), asked = new AbortController();

// ---- giving a picture

async function give(start) {
  given.abort(new DOMException("another picture", "AbortError"));
  asked.abort(new DOMException("another picture", "AbortError"));
  given = new AbortController();
  const { signal } = given;
  say(null);
  byId("done").textContent = "";
  forgetPicture();
  document.body.classList.add("has-picture");
  byId("work").hidden = false;
  stage.split.disabled = true;
  stage.setSplit(100);
  scrollTo({ top: 0 });
  const began = startClock();
  try {
    await start(signal);
    await ask({ began, first: true });
  } catch (error) {
    if (signal.aborted) return;
    giveUp(error);
  }
}

function giveFile(file) {
  if (!facts.uploads) return say(new Problem("no-such-page"));
  if (file.type && !file.type.startsWith("image/")) return say(new Problem("not-a-picture"));
  if (file.size > facts.uploads.max_bytes) return say(new Problem("upload-too-large"));
  byId("url").value = "";
  return give(async signal => {
    picture = { local: true };
    const url = URL.createObjectURL(file);
    let shown = true;
    try {
      await showOriginal(url);
    } catch {
      shown = false; // HEIC and TIFF in most browsers: the server's preview will do
    }
    setState("pending", "Sending the picture");
    const sent = await upload(file, {
      signal,
      progress: share => { byId("words").textContent = share < 1 ? `Sending the picture: ${Math.floor(share * 10) * 10} %` : "Sending the picture: done"; },
    });
    Object.assign(picture, { source: { path: sent.path, encoded: false }, upload: sent, width: sent.width });
    byId("delete").hidden = false;
    if (!shown) await loadOriginal(signal, PREVIEW_PX);
  });
}

function giveSource(source) {
  return give(async signal => {
    picture = { source };
    setState("pending", "Fetching the picture");
    await loadOriginal(signal, PREVIEW_PX);
    if (original.naturalWidth < PREVIEW_PX) picture.width = original.naturalWidth;
  });
}

function giveAddress(text) {
  try {
    giveSource(readAddress(text));
  } catch {
    say(new Problem("bad-origin"));
    byId("url").focus();
  }
}

async function loadOriginal(signal, width) {
  const answer = await fetchPicture(address(picture.source, { w: width, org_if_sml: 1, force_format: "webp" }), { signal });
  await showOriginal(URL.createObjectURL(await answer.blob()));
}

async function showOriginal(url) {
  const trial = new Image();
  trial.src = url;
  try {
    await trial.decode();
  } catch (error) {
    URL.revokeObjectURL(url);
    throw error;
  }
  replace(original, url);
  await original.decode().catch(() => {});
  if (picture.local) picture.width ??= trial.naturalWidth;
  if (!cutout.getAttribute("src")) stage.setSize(trial.naturalWidth, trial.naturalHeight);
  byId("stage").classList.add("filled");
  drawBackdrop();
}

function forgetPicture() {
  picture = null;
  for (const image of [original, cutout]) replace(image, null);
  if (clear) URL.revokeObjectURL(clear.url);
  clear = stage.edge = null;
  for (const id of ["delete", "download"]) byId(id).hidden = true;
  byId("stage").classList.remove("filled", "ready");
  byId("details").replaceChildren();
  for (const id of ["code-url", "code-html", "code-curl"]) byId(id).textContent = "";
  document.body.classList.remove("has-result");
  wish.width = null;
}

// Give `image` another object URL and let go of the one it had.
function replace(image, url) {
  const last = image.getAttribute("src");
  if (url) image.src = url;
  else image.removeAttribute("src");
  if (last?.startsWith("blob:") && last !== clear?.url && last !== url) URL.revokeObjectURL(last);
}

// ---- asking for the cutout

async function ask({ began, first = false } = {}) {
  if (!picture?.source) return;
  asked.abort(new DOMException("another wish", "AbortError"));
  asked = new AbortController();
  const { signal } = asked;
  began ??= startClock();
  if (first) offerWidths();
  const parameters = cutoutParameters(wish, facts.tier);
  const path = address(picture.source, parameters);
  const slow = setTimeout(() => setState("pending", "Rendering"), SLOW_MS); // most variations are there before
  try {
    const { state, document: status, waited } = await followCutout(path, {
      signal,
      tell: (word, told) => {
        clearTimeout(slow);
        if (stateWords(word, told)) setState(word, stateWords(word, told));
      },
      show: async (blob, word) => {
        await showCutout(blob, parameters);
        if (word === "stale") setState(word, stateWords(word));
      },
    });
    stopClock();
    say(null);
    const time = seconds((shownAt - began) / 1000);
    if (state === "ready") setState("ready", waited ? `Cut out in ${time}` : `Ready in ${time}`);
    else hideCutout(parameters);
    describe(status);
  } catch (error) {
    if (!signal.aborted) giveUp(error);
  } finally {
    clearTimeout(slow);
  }
}

let shownAt = 0;

async function showCutout(blob, parameters) {
  const url = URL.createObjectURL(blob);
  const trial = new Image();
  trial.src = url;
  await trial.decode();
  const isFirst = !byId("stage").classList.contains("ready");
  replace(cutout, url);
  await cutout.decode().catch(() => {});
  cutout.style.backgroundColor = "";
  shownAt = performance.now();
  const size = { width: trial.naturalWidth, height: trial.naturalHeight };
  stage.setSize(size.width, size.height);
  if (!parameters.bg_color && parameters.force_format !== "jpeg") {
    if (clear && clear.url !== url) URL.revokeObjectURL(clear.url);
    clear = { key: clearKey(), url };
    stage.edge = findEdge(trial);
  }
  byId("stage").classList.add("ready");
  document.body.classList.add("has-result");
  writeCode(parameters, size);
  const suffix = parameters.force_format === "jpeg" ? "jpg" : parameters.force_format;
  byId("download").hidden = false;
  Object.assign(byId("download"), { href: url, download: `cutout.${suffix}` });
  picture.shown = { ...size, bytes: blob.size };
  if (isFirst) stage.reveal();
  sharpenOriginal(size.width);
}

// The original at the size of a cutout that is larger than the preview.
async function sharpenOriginal(width) {
  const { signal } = given;
  if (picture.local && original.naturalWidth >= width || original.naturalWidth >= Math.min(width, picture.width ?? width)) return;
  await loadOriginal(signal, width).catch(() => {});
}

function hideCutout(parameters) {
  replace(cutout, null);
  byId("stage").classList.remove("ready");
  byId("download").hidden = true;
  stage.split.disabled = true;
  stage.setSplit(100);
  document.body.classList.add("has-result");
  writeCode(parameters, { width: original.naturalWidth, height: original.naturalHeight });
}

const clearKey = () => [wish.width, wish.tier].join();

function writeCode(parameters, size) {
  const lines = snippets(picture.source, parameters, size);
  for (const name of ["url", "html", "curl"]) byId(`code-${name}`).textContent = lines[name];
}

// ---- words

function say(problem) {
  const alert = byId("alert");
  alert.hidden = !problem;
  alert.textContent = problem ? problem.sentence(facts) : "";
}

function giveUp(error) {
  stopClock();
  const problem = error instanceof Problem ? error : new Problem("not-a-picture");
  if (!(error instanceof Problem)) console.error(error);
  say(problem);
  setState("problem", "No cutout");
  if (!byId("stage").classList.contains("filled")) toStart();
}

function toStart() {
  byId("work").hidden = true;
  document.body.classList.remove("has-picture");
}

function setState(state, words) {
  const box = byId("state");
  box.dataset.state = state;
  byId("stage").dataset.state = state;
  if (byId("words").textContent !== words) byId("words").textContent = words;
}

let ticking = 0;
function startClock() {
  const began = performance.now();
  clearInterval(ticking);
  byId("clock").textContent = "";
  ticking = setInterval(() => { byId("clock").textContent = seconds((performance.now() - began) / 1000); }, 100);
  return began;
}
function stopClock() {
  clearInterval(ticking);
  byId("clock").textContent = "";
}

function describe(status) {
  const rows = [];
  const { shown } = picture;
  if (typeof status?.confidence === "number") rows.push(["Confidence", `${Math.round(status.confidence * 100)} %${status.confidence < 0.5 ? ", look closely" : ""}`]);
  if (shown && status?.state === "ready") rows.push(["Picture", `${shown.width} × ${shown.height}, ${bytes(shown.bytes)}`]);
  if (status?.credits) rows.push(["Credits", creditWords(status.credits)]);
  if (picture.upload) rows.push(["Kept for", duration((new Date(picture.upload.expires_at) - Date.now()) / 1000)]);
  byId("details").replaceChildren(...rows.flatMap(([name, value]) => {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    dt.textContent = name;
    dd.textContent = value;
    return [dt, dd];
  }));
}

// ---- backdrops

function buildSwatches() {
  const swatch = (value, name, colour) => {
    const [label, input, face, text] = ["label", "input", "span", "span"].map(tag => document.createElement(tag));
    Object.assign(input, { type: "radio", name: "backdrop", value, className: "unseen" });
    face.className = "face";
    if (colour) face.style.backgroundColor = `#${colour}`;
    else face.classList.add("chequer");
    text.className = "unseen";
    text.textContent = name;
    label.title = name;
    label.append(input, face, text);
    return label;
  };
  byId("swatches").append(swatch("clear", "Transparent"), ...COLOURS.map(([colour, name]) => swatch(colour, name, colour)));
  document.querySelector("[name=backdrop][value=clear]").checked = true;
}

let soon = 0;
function setBackdrop(kind, colour = null, { wait = 0 } = {}) {
  Object.assign(wish, { backdrop: kind, colour });
  const inBrowser = kind === "own" || kind === "blur";
  byId("backdrop-note").hidden = !inBrowser;
  for (const id of ["colour", "own"]) byId(id).parentElement.classList.toggle("chosen", kind === id);
  if (kind === "colour" || kind === "own") for (const radio of document.getElementsByName("backdrop")) radio.checked = false;
  const jpeg = byId("format").querySelector("[value=jpeg]");
  jpeg.disabled = inBrowser; // nothing would shine through
  if (inBrowser && wish.format === "jpeg") byId("format").value = wish.format = "webp";
  drawBackdrop();
  noteFormat();
  if (!picture?.source) return;
  if (clear?.key === clearKey() && byId("stage").classList.contains("ready")) {
    if (cutout.getAttribute("src") !== clear.url) replace(cutout, clear.url);
    cutout.style.backgroundColor = colour ? `#${colour}` : "";
  }
  clearTimeout(soon);
  soon = setTimeout(() => ask(), wait);
}

function drawBackdrop() {
  const { backdrop: kind } = wish;
  byId("stage").dataset.backdrop = kind;
  const url = kind === "own" ? own : kind === "blur" ? original.getAttribute("src") : null;
  backdrop.hidden = !url;
  if (url) backdrop.src = url;
}

async function setOwn(file) {
  const url = URL.createObjectURL(file);
  const trial = new Image();
  trial.src = url;
  try {
    await trial.decode();
  } catch {
    URL.revokeObjectURL(url);
    return say(new Problem("own-backdrop"));
  }
  if (own) URL.revokeObjectURL(own);
  own = url;
  say(null);
  return setBackdrop("own");
}

// What is seen, with a backdrop of the browser's, as a PNG.
async function composite() {
  const { width, height } = picture.shown;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  const [w, h] = [backdrop.naturalWidth, backdrop.naturalHeight];
  const blur = wish.backdrop === "blur" ? width * BLUR_SHARE : 0;
  const cover = Math.max(width / w, height / h) * (blur ? 1.08 : 1);
  if (blur) context.filter = `blur(${blur}px)`;
  context.drawImage(backdrop, (width - w * cover) / 2, (height - h * cover) / 2, w * cover, h * cover);
  context.filter = "none";
  context.drawImage(cutout, 0, 0, width, height);
  return new Promise(resolve => canvas.toBlob(resolve, "image/png"));
}

// ---- size, format, quality

function offerWidths() {
  const { width: natural } = picture;
  const smaller = WIDTHS.filter(width => width < (natural ?? PREVIEW_PX + 1));
  wish.width = natural && natural <= PREVIEW_PX ? null : PREVIEW_PX;
  const options = smaller.map(width => new Option(`${width} px`, width));
  options.push(new Option("Original", ""));
  byId("width").replaceChildren(...options);
  byId("width").value = wish.width ?? "";
}

function noteFormat() {
  byId("format-note").hidden = !(wish.format === "jpeg" && !wish.colour);
}

// ---- wiring

byId("samples").querySelector("ul").append(...facts.samples.map(path => {
  const [item, button, image, text] = ["li", "button", "img", "span"].map(tag => document.createElement(tag));
  const name = path.split("/").pop().split(".")[0];
  Object.assign(image, { src: `${path}?w=320`, alt: "", width: 160, height: 100, draggable: false });
  text.textContent = name[0].toUpperCase() + name.slice(1);
  button.type = "button";
  button.append(image, text);
  button.onclick = () => {
    byId("url").value = "";
    giveSource({ path, encoded: false });
  };
  item.append(button);
  return item;
}));
byId("samples").hidden = !facts.samples.length;
byId("drop").hidden = !facts.uploads;
if (facts.uploads) byId("drop-note").textContent = `Up to ${bytes(facts.uploads.max_bytes)}. Deleted after ${duration(facts.uploads.keep_s)}, or when you say so.`;
byId("tier").value = facts.tier;
buildSwatches();

byId("file").onchange = event => {
  const [file] = event.target.files;
  event.target.value = "";
  if (file) giveFile(file);
};
byId("by-url").onsubmit = event => {
  event.preventDefault();
  giveAddress(byId("url").value);
};
byId("swatches").onchange = event => setBackdrop(event.target.value === "clear" ? "clear" : "swatch", event.target.value === "clear" ? null : event.target.value);
document.querySelector("[value=blur]").onchange = () => setBackdrop("blur");
byId("colour").oninput = event => setBackdrop("colour", event.target.value.slice(1), { wait: 150 });
byId("colour").onclick = event => wish.backdrop !== "colour" && setBackdrop("colour", event.target.value.slice(1));
byId("own").onchange = event => {
  const [file] = event.target.files;
  event.target.value = "";
  if (file) setOwn(file);
};
for (const id of ["width", "format", "tier"]) {
  byId(id).onchange = event => {
    wish[id] = id === "width" ? Number(event.target.value) || null : event.target.value;
    noteFormat();
    ask();
  };
}

byId("download").onclick = async event => {
  if (wish.backdrop !== "own" && wish.backdrop !== "blur") return;
  event.preventDefault();
  const url = URL.createObjectURL(await composite());
  Object.assign(document.createElement("a"), { href: url, download: "composite.png" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
};
byId("delete").onclick = async () => {
  const { upload: sent } = picture;
  try {
    await deleteUpload(sent);
  } catch (error) {
    return say(error);
  }
  given.abort(new DOMException("deleted", "AbortError"));
  asked.abort(new DOMException("deleted", "AbortError"));
  stopClock();
  forgetPicture();
  toStart();
  byId("copied").textContent = "";
  byId("done").textContent = "Your picture is deleted.";
  return byId("file").focus();
};
for (const button of document.querySelectorAll(".copy")) {
  button.onclick = async () => {
    const code = byId(button.dataset.copies);
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch { // no clipboard on a page without TLS: select it, copy it the old way
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    byId("copied").textContent = "";
    button.textContent = "Copied";
    requestAnimationFrame(() => { byId("copied").textContent = "Copied"; });
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  };
}

addEventListener("paste", event => {
  const { clipboardData: data } = event;
  const file = [...data.files][0];
  const text = data.getData("text/plain").trim();
  if (file) giveFile(file);
  else if (!(event.target instanceof HTMLInputElement) && /^https?:\/\/\S+$/.test(text)) giveAddress(text);
});

let depth = 0;
const carries = event => [...event.dataTransfer?.types || []].some(type => type === "Files" || type === "text/uri-list");
addEventListener("dragenter", event => { if (carries(event)) byId("drop-here").hidden = ++depth < 1; });
addEventListener("dragleave", event => { if (carries(event)) byId("drop-here").hidden = --depth < 1; });
addEventListener("dragover", event => { if (carries(event)) event.preventDefault(); });
addEventListener("drop", event => {
  depth = 0;
  byId("drop-here").hidden = true;
  if (!carries(event)) return;
  event.preventDefault();
  const file = event.dataTransfer.files[0];
  const address = event.dataTransfer.getData("text/uri-list").split("\n").find(line => line && !line.startsWith("#"));
  if (file) giveFile(file);
  else if (address) giveAddress(address);
});
