// The page: what is given, what is asked for, what is shown. It talks to the public URL API only.
import { address, cutoutParameters, readAddress, snippets, suffixOf } from "./address.js";
import { deleteUpload, fetchPicture, followCutout, upload } from "./follow.js";
import { BLUR_SHARE, Stage, findEdge } from "./stage.js";
import { Problem, bytes, creditRows, duration, seconds, stateWords } from "./words.js";

const byId = id => document.getElementById(id);
const facts = JSON.parse(byId("facts").textContent);
const stage = new Stage(byId, speak);
const PREVIEW_PX = 1200, SLOW_MS = 300, WIDTHS = [400, 800, 1200, 1600, 2400, 3200];
const COLOURS = { clear: "Transparent", ffffff: "White", "1c1d20": "Black", e9e4da: "Sand", f3c9c0: "Rose", b9d4e4: "Sky", "0f766e": "Teal" };
const [original, cutout, backdrop] = [byId("before"), byId("cutout"), byId("backdrop")];
const CODES = { url: "URL", html: "HTML", curl: "curl line" };

// The picture at hand: {source: {path, encoded} once the server can fetch it, upload, natural width}.
let picture = null;
const wish = { width: null, format: "webp", tier: facts.tier, backdrop: "clear", colour: null };
let own = null; // object URL of the backdrop that was chosen
let clear = null; // {key, url}: the transparent cutout, for previews of colours and for its edge
let given = new AbortController(), asked = new AbortController();

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// The image at `url`, decoded; an object URL that is none is let go of.
async function decoded(url, signal) {
  const image = Object.assign(new Image(), { src: url });
  try {
    await image.decode();
    signal?.throwIfAborted();
  } catch (error) {
    URL.revokeObjectURL(url);
    throw error;
  }
  return image;
}

// ---- giving a picture

async function give(start) {
  stopAll();
  given = new AbortController();
  const { signal } = given;
  forgetPicture();
  document.body.classList.add("has-picture");
  byId("work").hidden = false;
  scrollTo({ top: 0 });
  const began = startClock();
  again.onclick = () => {
    stage.root.focus(); // the button goes
    return picture?.source ? ask() : give(start);
  };
  try {
    await start(signal);
    remember();
    offerWidths();
    await ask(began);
  } catch (error) {
    if (!signal.aborted) giveUp(error);
  }
}

function stopAll() {
  given.abort();
  asked.abort();
  stopClock();
  say(spoken = null);
  byId("done").textContent = "";
}

function giveFiles(files) {
  const [file] = files;
  if (!facts.uploads) return say(new Problem("no-such-page"));
  if (file.type && !file.type.startsWith("image/")) return say(new Problem("not-a-picture"));
  if (file.size > facts.uploads.max_bytes) return say(new Problem("upload-too-large", { limit: facts.uploads.max_bytes }));
  byId("url").value = "";
  give(signal => sendFile(file, signal));
  if (files.length > 1) byId("done").textContent = `One picture at a time: this is the first of ${files.length}.`;
}

async function sendFile(file, signal) {
  picture = {};
  setState("sending", "Sending the picture");
  const isShown = await showOriginal(URL.createObjectURL(file), signal).then(() => true, () => false); // not HEIC or TIFF in most browsers
  signal.throwIfAborted();
  const progress = share => setState("sending", `Sending the picture: ${Math.round(share * 100)} %`);
  const sent = await upload(file, { signal, progress });
  Object.assign(picture, { source: { path: sent.path, encoded: false }, upload: sent, width: sent.width });
  byId("delete").hidden = false;
  if (!isShown) await loadOriginal(signal, PREVIEW_PX);
}

function giveSource(source, known = {}) {
  return give(async signal => {
    picture = { source, ...known };
    byId("delete").hidden = !picture.upload;
    setState("fetching", "Fetching the picture");
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

// The picture at hand outlives a reload, not the tab.
function remember(value = picture) {
  try {
    sessionStorage.setItem("picture", JSON.stringify(value));
  } catch { /* the browser keeps nothing */ }
}

async function loadOriginal(signal, width) {
  const answer = await fetchPicture(address(picture.source, { w: width, org_if_sml: 1, force_format: "webp" }), signal);
  await showOriginal(URL.createObjectURL(await answer.blob()), signal);
}

async function showOriginal(url, signal) {
  const size = await swap(original, url, signal);
  if (!cutout.getAttribute("src")) stage.setSize(size);
  stage.root.classList.add("filled");
  drawBackdrop();
}

function forgetPicture() {
  hideCutout();
  picture = null;
  remember();
  replace(original, null);
  if (clear) URL.revokeObjectURL(clear.url);
  clear = stage.edge = null;
  byId("delete").hidden = true;
  stage.root.classList.remove("filled");
  byId("details").replaceChildren();
  document.body.classList.remove("has-result");
  offerWidths();
}

// Show the picture at `url` as `image`, once it is decoded: its size.
async function swap(image, url, signal) {
  const { naturalWidth: width, naturalHeight: height } = await decoded(url, signal);
  replace(image, url);
  await image.decode().catch(() => {});
  signal.throwIfAborted();
  return { width, height };
}

// Give `image` another object URL and let go of the one it had.
function replace(image, url) {
  const last = image.getAttribute("src");
  if (url) image.src = url;
  else image.removeAttribute("src");
  if (last && last !== clear?.url && last !== url) URL.revokeObjectURL(last);
}

// ---- asking for the cutout

async function ask(began = startClock()) {
  if (!picture?.source) return;
  asked.abort();
  asked = new AbortController();
  const { signal } = asked;
  const parameters = cutoutParameters(wish, facts.tier);
  const slow = setTimeout(() => setState("rendering", "Rendering"), SLOW_MS); // most variations are there before
  let shownAt = began;
  say(spoken = null);
  try {
    const { state, document: status, waited } = await followCutout(address(picture.source, parameters), {
      signal,
      tell: (word, told) => {
        clearTimeout(slow);
        setState(word, stateWords(word, told));
        if (told.credits) describe(word, told);
      },
      show: async blob => {
        await showCutout(blob, parameters, signal);
        shownAt = performance.now();
      },
    });
    stopClock();
    const isReady = state === "ready";
    if (!isReady) {
      hideCutout();
      writeCode(parameters, { width: original.naturalWidth, height: original.naturalHeight });
    }
    setState(state, isReady ? `${waited ? "Cut out" : "Ready"} in ${seconds((shownAt - began) / 1000)}` : stateWords(state, status));
    describe(state, status);
  } catch (error) {
    if (!signal.aborted) giveUp(error);
  } finally {
    clearTimeout(slow);
  }
}

async function showCutout(blob, parameters, signal) {
  const url = URL.createObjectURL(blob);
  const size = await swap(cutout, url, signal);
  const isFirst = !stage.root.classList.contains("ready");
  cutout.style.backgroundColor = "";
  stage.setSize(size);
  if (!parameters.bg_color && parameters.force_format !== "jpeg") {
    if (clear) URL.revokeObjectURL(clear.url);
    clear = { key: clearKey(), url };
    stage.edge = findEdge(cutout);
  }
  stage.root.classList.add("ready");
  Object.assign(byId("download"), { hidden: false, href: url, download: `cutout.${suffixOf(parameters)}` });
  picture.shown = { ...size, bytes: blob.size };
  writeCode(parameters, size);
  if (isFirst) stage.reveal();
  if (original.naturalWidth < Math.min(size.width, picture.width ?? Infinity)) loadOriginal(given.signal, size.width).catch(() => {}); // as sharp as the cutout
}

function hideCutout() {
  replace(cutout, null);
  stage.root.classList.remove("ready");
  stage.close();
  byId("download").hidden = true;
  if (picture) picture.shown = null;
}

const clearKey = () => [wish.width, wish.tier].join();

function writeCode(parameters, size) {
  const lines = snippets(picture.source, parameters, size);
  for (const name of Object.keys(CODES)) byId(`code-${name}`).textContent = lines[name];
  document.body.classList.add("has-result");
}

// ---- words

function say(problem) {
  const alert = byId("alert");
  alert.hidden = !problem;
  alert.textContent = problem?.sentence ?? "";
}

function giveUp(error) {
  stopClock();
  if (!(error instanceof Problem)) console.error(error);
  const isGone = picture?.upload && error.slug === "origin-not-found";
  say(error instanceof Problem && !isGone ? error : new Problem(isGone ? "gone" : "not-a-picture"));
  setState("problem", "That did not work");
  if (isGone || !stage.root.classList.contains("filled")) toStart();
}

function toStart() {
  forgetPicture();
  byId("work").hidden = true;
  document.body.classList.remove("has-picture");
}

const again = byId("again");
let spoken = null; // the state that was last spoken: positions and shares change too often to be read out
function setState(state, words) {
  byId("state").dataset.state = stage.root.dataset.state = state;
  byId("words").textContent = words;
  again.hidden = state !== "problem" && state !== "failed";
  if (spoken !== state && state !== "problem") speak(words); // a problem has an alert
  spoken = state;
}

function speak(words) {
  byId("spoken").textContent = "";
  setTimeout(() => { byId("spoken").textContent = words; }, 50); // else the same words again are no news
}

let ticking = 0;
function startClock() {
  stopClock();
  const began = performance.now();
  ticking = setInterval(() => { byId("clock").textContent = seconds((performance.now() - began) / 1000); }, 100);
  return began;
}
function stopClock() {
  clearInterval(ticking);
  byId("clock").textContent = "";
}

// What is known besides the state. `status` is a status document, as far as it is known.
function describe(state, { confidence, credits }) {
  const { shown, upload: sent } = picture;
  const rows = [];
  if (shown && confidence !== undefined) rows.push(["Confidence", `${Math.round(confidence * 100)} %${confidence < 0.5 ? ", look closely" : ""}`]);
  if (shown) rows.push(["Picture", `${shown.width} × ${shown.height}, ${bytes(shown.bytes)}`]);
  if (credits) rows.push(...creditRows(state, credits));
  if (sent) rows.push(["Kept for", duration((new Date(sent.expires_at) - Date.now()) / 1000)]);
  byId("details").replaceChildren(...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

// ---- backdrops

let soon = 0;
function setBackdrop(value, wait = 0) { // a colour, or clear, blur, own
  const colour = /^[\da-f]{6}$/.test(value) ? value : null;
  Object.assign(wish, { backdrop: value, colour });
  const inBrowser = value === "own" || value === "blur";
  for (const radio of document.getElementsByName("backdrop")) radio.checked = radio.value === value;
  byId("own").setAttribute("aria-current", value === "own");
  byId("colour").setAttribute("aria-current", colour !== null && !(colour in COLOURS));
  byId("format").querySelector("[value=jpeg]").disabled = inBrowser; // nothing would shine through
  if (inBrowser && wish.format === "jpeg") byId("format").value = wish.format = "webp";
  drawBackdrop();
  note();
  if (clear?.key === clearKey() && stage.root.classList.contains("ready")) {
    replace(cutout, clear.url);
    cutout.style.backgroundColor = colour ? `#${colour}` : "";
  }
  clearTimeout(soon);
  soon = setTimeout(ask, wait);
}

function drawBackdrop() {
  stage.root.dataset.backdrop = wish.backdrop;
  const url = { own, blur: original.getAttribute("src") }[wish.backdrop];
  backdrop.hidden = !url;
  if (url) backdrop.src = url;
}

async function setOwn(file) {
  const url = URL.createObjectURL(file);
  try {
    await decoded(url);
  } catch {
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
  const canvas = make("canvas", { width, height });
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

// ---- size, format

function offerWidths() {
  const natural = picture?.width;
  wish.width = natural && natural <= PREVIEW_PX ? null : PREVIEW_PX;
  const smaller = WIDTHS.filter(width => width < (natural ?? PREVIEW_PX + 1));
  byId("width").replaceChildren(...smaller.map(width => new Option(`${width} px`, width)), new Option("Original", ""));
  byId("width").value = wish.width ?? "";
}

function note() {
  byId("note").textContent = !backdrop.hidden ? "Your browser puts this backdrop behind the cutout. The URL below is that of the transparent cutout."
    : wish.format === "jpeg" && !wish.colour ? "JPEG has no transparency: without a colour the backdrop is white." : "";
}

// ---- what the page is made of

byId("samples").hidden = !facts.samples.length;
byId("samples").querySelector("ul").append(...facts.samples.map(path => {
  const name = path.split("/").pop().split(".")[0];
  const image = make("img", { src: `${path}?w=320`, alt: "", width: 160, height: 100, draggable: false });
  const button = make("button", {}, image, make("span", {}, name[0].toUpperCase() + name.slice(1)));
  button.onclick = () => {
    byId("url").value = "";
    giveSource({ path, encoded: false });
  };
  return make("li", {}, button);
}));
byId("drop").hidden = !facts.uploads;
if (facts.uploads) byId("drop-note").textContent = `Up to ${bytes(facts.uploads.max_bytes)}. Only those who know its URL can see it. Deleted after ${duration(facts.uploads.keep_s)}, or when you say so.`;
for (const [value, name] of Object.entries(COLOURS)) {
  const face = make("span", { className: `face ${value}` });
  if (value !== "clear") face.style.backgroundColor = `#${value}`;
  const radio = make("input", { type: "radio", name: "backdrop", value, className: "unseen", checked: value === "clear", ariaLabel: name });
  byId("swatches").append(make("label", { title: name }, radio, face));
}
for (const [name, title] of Object.entries(CODES)) {
  const code = make("code", { id: `code-${name}`, tabIndex: 0, role: "textbox", ariaReadOnly: "true", ariaMultiLine: "true", ariaLabel: title });
  const button = make("button", { className: "copy", ariaLabel: `Copy the ${title}` }, "Copy");
  button.onclick = () => copy(code, button);
  byId("lines").append(make("div", { className: "line" }, make("h3", {}, title.split(" ")[0]), code, button));
}

async function copy(code, button) {
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch { // no clipboard on a page without TLS: select it, copy it the old way
    getSelection().selectAllChildren(code);
    document.execCommand("copy");
  }
  speak("Copied");
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1600);
}

// ---- wiring

// What to do with the files that are chosen in an input.
function onFiles(id, act) {
  byId(id).onchange = event => {
    const files = [...event.target.files];
    event.target.value = "";
    if (files.length) act(files);
  };
}
onFiles("file", giveFiles);
onFiles("own", ([file]) => setOwn(file));
byId("by-url").onsubmit = event => {
  event.preventDefault();
  giveAddress(byId("url").value);
};
byId("backdrops").onchange = ({ target }) => target.name === "backdrop" && setBackdrop(target.value);
byId("colour").oninput = event => setBackdrop(event.target.value.slice(1), 150);
byId("colour").onclick = event => setBackdrop(event.target.value.slice(1));
for (const id of ["width", "format", "tier"]) {
  byId(id).onchange = event => {
    wish[id] = id === "width" ? Number(event.target.value) || null : event.target.value;
    note();
    ask();
  };
}
byId("format").value = wish.format;
byId("tier").value = wish.tier;

byId("download").onclick = async event => {
  if (backdrop.hidden) return;
  event.preventDefault();
  const url = URL.createObjectURL(await composite());
  make("a", { href: url, download: "composite.png" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
};
byId("delete").onclick = async () => {
  try {
    await deleteUpload(picture.upload);
  } catch (error) {
    return say(error);
  }
  stopAll();
  toStart();
  byId("done").textContent = "Your picture is deleted.";
  return byId("file").focus();
};
document.querySelector(".brand").onclick = () => remember(null);

addEventListener("paste", event => {
  const { files } = event.clipboardData;
  const text = event.clipboardData.getData("text/plain").trim();
  if (files.length) giveFiles(files);
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
  const { files } = event.dataTransfer;
  const link = event.dataTransfer.getData("text/uri-list").split("\n").find(line => line && !line.startsWith("#"));
  if (files.length) giveFiles(files);
  else if (link) giveAddress(link);
});

try {
  const { source, upload: sent, width } = JSON.parse(sessionStorage.getItem("picture"));
  giveSource(source, { upload: sent, width });
} catch { /* nothing is kept */ }
