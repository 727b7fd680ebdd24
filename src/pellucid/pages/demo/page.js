// The page: what is given, what is asked for, what is shown. It talks to the public URL API only.
import { key } from "../session.js";
import { address, cutoutParameters, fileName, nameOf, readAddress, snippets, stemOf } from "./address.js";
import { blurredBackground, composite, toBlob } from "./backdrop.js";
import { deleteUpload, fetchPicture, followCutout, readState, readStatus, upload } from "./follow.js";
import { Gate } from "./gate.js";
import { Tray, describeFiles, sortFiles } from "./intake.js";
import { Stage, findEdge } from "./stage.js";
import { Problem, bytes, creditRows, duration, seconds, stateWords } from "./words.js";

const byId = id => document.getElementById(id);
const facts = JSON.parse(byId("facts").textContent);
const stage = new Stage(byId, speak, lookClosely);
// What is shown of a picture at first; what of a larger one when it is looked at closely: pixels a browser holds easily.
const PREVIEW = { width: 1200, height: 4096 }, CLOSE_PIXELS = 24e6;
const SLOW_MS = 300, WIDTHS = [400, 800, 1200, 1600, 2400, 3200];
const COLOURS = { clear: "Transparent", ffffff: "White", "1c1d20": "Black", e9e4da: "Sand", f3c9c0: "Rose", b9d4e4: "Sky", "0f766e": "Teal" };
const FORMATS = { webp: { name: "WebP", side: 16383 }, png: { name: "PNG", side: Infinity }, jpeg: { name: "JPEG", side: 65535 } };
const CODES = { url: "URL", html: "HTML", curl: "curl line" };
const [original, cutout, backdrop] = [byId("before"), byId("cutout"), byId("backdrop")];

// The picture at hand: {source: {path, encoded} once the server can fetch it, upload, name, size once it is known,
// shown: {width, height, bytes, path} while a cutout is to be seen, isClose once it was looked at closely}.
let picture = null;
const wish = { width: null, format: "webp", tier: facts.tier, backdrop: "clear", colour: null };
let own = null; // object URL of the backdrop that was chosen
let blurred = null; // {of, url}: the blurred background of the cutout at the object URL `of`
let clear = null; // {key, url}: the transparent cutout, for previews of colours, for its edge and for the blur
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
    offerSizes();
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

const tray = new Tray(byId("tray"), giveEntry);

function giveFiles(files) {
  if (!gate.isOpen) return say(new Problem("key-first"));
  if (!facts.uploads) return say(new Problem("no-such-page"));
  const sorted = sortFiles(files, facts.uploads.max_bytes);
  if (!sorted.good.length) return say(...sorted.left.length > 1 ? [new Problem("no-file"), describeFiles(sorted)] : [sorted.left[0][1]]);
  byId("url").value = "";
  giveEntry(tray.show(sorted.good)[0]);
  byId("done").textContent = describeFiles(sorted);
}

function giveEntry(entry) {
  tray.mark(entry);
  if (entry.picture) giveSource(entry.picture.source, entry.picture);
  else give(signal => sendFile(entry, signal));
}

async function sendFile(entry, signal) {
  const { file } = entry;
  picture = { name: file.name };
  setState("sending", "Sending the picture");
  const isShown = await showOriginal(URL.createObjectURL(file), signal).then(() => true, () => false); // not HEIC or TIFF in most browsers
  signal.throwIfAborted();
  const progress = share => setState("sending", `Sending the picture: ${Math.round(share * 100)} %`);
  const sent = await upload(file, { signal, progress });
  Object.assign(picture, { source: { path: sent.path, encoded: false }, upload: sent, size: { width: sent.width, height: sent.height } });
  entry.picture = kept();
  byId("delete").hidden = false;
  if (!isShown) await loadOriginal(signal, PREVIEW);
}

function giveSource(source, known = {}) {
  return give(async signal => {
    picture = { name: nameOf(source), ...known, source };
    byId("delete").hidden = !picture.upload;
    setState("fetching", "Fetching the picture");
    await loadOriginal(signal, PREVIEW);
    const { naturalWidth: width, naturalHeight: height } = original;
    if (width < PREVIEW.width && height < PREVIEW.height) picture.size = { width, height };
    else if (!picture.size) learnSize(await readStatus(address(source, { bg_remove: 1 }), signal));
  });
}

// A picture that does not belong to those that were given together.
function giveOther(source) {
  tray.show([]);
  giveSource(source);
}

function giveAddress(text) {
  if (!gate.isOpen) return say(new Problem("key-first"));
  try {
    giveOther(readAddress(text));
  } catch {
    say(new Problem("bad-origin"));
    byId("url").focus();
  }
}

function learnSize(document) {
  const { width, height } = document ?? {};
  if (picture.size || !width) return;
  picture.size = { width, height };
  offerSizes();
}

// The picture at hand outlives a reload, not the tab.
const kept = () => picture && { source: picture.source, upload: picture.upload, name: picture.name, size: picture.size };
function remember(value = kept()) {
  try {
    sessionStorage.setItem("picture", JSON.stringify(value));
  } catch { /* the browser keeps nothing */ }
}

// The original within the box, never enlarged.
async function loadOriginal(signal, { width, height }) {
  const parameters = { w: width, h: height, func: "bound", org_if_sml: 1, force_format: "webp" };
  const answer = await fetchPicture(address(picture.source, parameters), signal);
  await showOriginal(URL.createObjectURL(await answer.blob()), signal);
}

async function showOriginal(url, signal) {
  const size = await swap(original, url, signal);
  if (!cutout.getAttribute("src")) stage.setSize(picture.size ?? size, size);
  stage.root.classList.add("filled");
}

function forgetPicture() {
  hideCutout();
  picture = null;
  remember();
  replace(original, null);
  for (const each of [clear, blurred]) if (each) URL.revokeObjectURL(each.url);
  clear = blurred = null;
  wish.width = null;
  stage.open();
  byId("delete").hidden = true;
  stage.root.classList.remove("filled");
  byId("details").replaceChildren();
  document.body.classList.remove("has-result");
  drawBackdrop();
  offerSizes();
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

// ---- what is wished, and what of it is shown

const isMade = () => wish.backdrop === "own" || wish.backdrop === "blur"; // by this browser, behind a transparent cutout

// The size of what is wished, undefined where it is not known.
function wishedSize() {
  const { size } = picture ?? {};
  if (!size || !wish.width) return size;
  return { width: wish.width, height: Math.max(1, Math.round(size.height * wish.width / size.width)) };
}

const fits = (format, { width, height } = { width: 0, height: 0 }) => Math.max(width, height) <= FORMATS[format].side;

// The parameters of what is wished: those of the download, and of the lines to copy.
function wanted(width = wish.width) {
  const transparent = ["webp", "png"].find(format => fits(format, wishedSize()));
  return cutoutParameters({ ...wish, width, format: isMade() && wish.format === "jpeg" ? transparent : wish.format }, facts.tier);
}

// Those of what is shown: of a large picture in full a preview, until it is looked at closely.
function showing() {
  const { size, isClose } = picture;
  if (wish.width) return wanted();
  if (!size) return wanted(original.naturalWidth < PREVIEW.width ? null : PREVIEW.width);
  const { width, height } = size;
  const share = isClose ? Math.min(Math.sqrt(CLOSE_PIXELS / (width * height)), FORMATS.webp.side / Math.max(width, height)) : Math.min(PREVIEW.width / width, PREVIEW.height / height);
  return wanted(share < 1 ? Math.max(1, Math.floor(width * share)) : null);
}

const isExact = () => picture?.shown?.path === address(picture.source, wanted());
const clearKey = () => [showing().w, wish.tier].join();

// ---- asking for the cutout

async function ask(began = startClock()) {
  if (!picture?.source) return;
  asked.abort();
  asked = new AbortController();
  const { signal } = asked;
  const parameters = showing();
  const slow = setTimeout(() => setState("rendering", "Rendering"), SLOW_MS); // most variations are there before
  let shownAt = began;
  say(spoken = null);
  drawDownload();
  try {
    const { state, document: status, waited } = await followCutout(address(picture.source, parameters), {
      signal,
      tell: (word, told) => {
        clearTimeout(slow);
        learnSize(told);
        setState(word, stateWords(word, told, facts));
        if (told.credits) describe(word, told);
      },
      show: async blob => {
        await showCutout(blob, parameters, signal);
        shownAt = performance.now();
      },
    });
    stopClock();
    learnSize(status);
    const isReady = state === "ready";
    if (!isReady) {
      hideCutout();
      writeCode({ width: original.naturalWidth, height: original.naturalHeight });
    }
    setState(state, isReady ? `${waited ? "Cut out" : "Ready"} in ${seconds((shownAt - began) / 1000)}` : stateWords(state, status, facts));
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
  picture.shown = { ...size, bytes: blob.size, path: address(picture.source, parameters) };
  cutout.style.backgroundColor = "";
  stage.setSize(isExact() ? size : wishedSize() ?? size, size);
  if (!parameters.bg_color && parameters.force_format !== "jpeg") {
    if (clear) URL.revokeObjectURL(clear.url);
    clear = { key: clearKey(), url };
    stage.edge = findEdge(cutout);
    await drawBackdrop();
    signal.throwIfAborted();
  }
  stage.root.classList.add("ready");
  drawDownload();
  writeCode(size);
  if (isFirst) stage.reveal();
  if (original.naturalWidth < Math.min(size.width, picture.size?.width ?? Infinity)) {
    loadOriginal(given.signal, { width: size.width, height: FORMATS.webp.side }).catch(() => {}); // as sharp as the cutout
  }
}

// A preview has too few pixels for how it is looked at. Should more not be there to be had, it stays.
async function lookClosely() {
  if (!picture?.shown || picture.isClose) return;
  const before = address(picture.source, showing());
  picture.isClose = true;
  const parameters = showing();
  if (address(picture.source, parameters) === before) return;
  const { signal } = asked;
  try {
    const answer = await fetchPicture(address(picture.source, parameters), signal);
    if (readState(answer.headers).state === "ready") await showCutout(await answer.blob(), parameters, signal);
  } catch { /* the preview stays */ }
}

function hideCutout() {
  replace(cutout, null);
  stage.root.classList.remove("ready");
  stage.close();
  if (picture) picture.shown = null;
  drawDownload();
}

function writeCode(shown) {
  const parameters = wanted();
  const name = fileName(stemOf(picture.name), parameters.force_format);
  const lines = snippets(picture.source, parameters, isExact() ? shown : wishedSize() ?? shown, { name, key: Boolean(facts.key && key()) });
  for (const each of Object.keys(CODES)) byId(`code-${each}`).textContent = lines[each];
  byId("code-note").textContent = facts.key === "needed" ? "At this address the key is asked for, which an <img> cannot send. On your pages, use the URL with the host name that is yours." : "";
  document.body.classList.add("has-result");
}

// ---- the download: what is wished in full, named after the picture

function drawDownload(isBusy = false) {
  const link = byId("download");
  link.hidden = !picture?.shown;
  if (link.hidden) return;
  const size = isExact() ? picture.shown : wishedSize();
  link.textContent = isBusy ? "Preparing the picture" : `Download ${FORMATS[wish.format].name}${size ? `, ${size.width} × ${size.height}` : ""}`;
  link.toggleAttribute("aria-busy", isBusy);
  link.href = isExact() ? cutout.src : address(picture.source, wanted());
  link.download = fileName(stemOf(picture.name), wish.format);
}

byId("download").onclick = async event => {
  if (isExact() && !isMade()) return; // what is shown
  event.preventDefault();
  if (event.currentTarget.hasAttribute("aria-busy")) return;
  const { signal } = given;
  const stem = stemOf(picture.name);
  drawDownload(true);
  try {
    const blob = await wholePicture(signal);
    const url = URL.createObjectURL(blob);
    make("a", { href: url, download: fileName(stem, blob.type.split("/")[1]) }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (error) {
    if (!signal.aborted) say(error instanceof Problem ? error : new Problem("own-composite"));
  } finally {
    drawDownload();
  }
};

// What is wished, as bytes: asked for where it is not shown, put before the backdrop where that is made here.
async function wholePicture(signal) {
  let blob = null;
  if (!isExact()) {
    const { state } = await followCutout(address(picture.source, wanted()), { signal, tell() {}, show: async each => { blob = each; } });
    if (state !== "ready") throw new Problem("not-ready");
  }
  if (!isMade()) return blob;
  const url = blob && URL.createObjectURL(blob);
  const made = await composite(url ? await decoded(url, signal) : cutout, backdrop, wish.format);
  if (url) URL.revokeObjectURL(url);
  if (!made) throw new Problem("own-composite");
  return made;
}

// ---- words

function say(problem, more = "") {
  const alert = byId("alert");
  alert.hidden = !problem;
  alert.textContent = problem ? [problem.sentence, more].filter(Boolean).join(" ") : "";
}

function giveUp(error) {
  stopClock();
  if (!(error instanceof Problem)) console.error(error);
  if (error.slug === "key-needed" && gate.need) {
    toStart();
    return gate.leave(key() ? "That key opens nothing here any more. Enter another one." : "A key is needed.");
  }
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
  if (shown) {
    const { width, height } = isExact() ? shown : wishedSize() ?? shown;
    rows.push(["Picture", `${width} × ${height}${isExact() ? `, ${bytes(shown.bytes)}` : ""}`]);
  }
  if (credits && facts.credits) rows.push(...creditRows(state, credits));
  if (sent) rows.push(["Kept for", duration((new Date(sent.expires_at) - Date.now()) / 1000)]);
  byId("details").replaceChildren(...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

// ---- backdrops

let soon = 0;
function setBackdrop(value, wait = 0) { // a colour, or clear, blur, own
  const colour = /^[\da-f]{6}$/.test(value) ? value : null;
  Object.assign(wish, { backdrop: value, colour });
  for (const radio of document.getElementsByName("backdrop")) radio.checked = radio.value === value;
  byId("own").setAttribute("aria-current", value === "own");
  byId("colour").setAttribute("aria-current", colour !== null && !(colour in COLOURS));
  if (picture?.shown && clear?.key === clearKey() && stage.root.classList.contains("ready")) {
    replace(cutout, clear.url);
    cutout.style.backgroundColor = colour ? `#${colour}` : "";
    picture.shown.path = null;
  }
  drawBackdrop();
  note();
  clearTimeout(soon);
  soon = setTimeout(ask, wait);
}

async function drawBackdrop() {
  stage.root.dataset.backdrop = wish.backdrop;
  if (wish.backdrop === "blur" && clear) await blurBackground();
  const url = { own, blur: blurred?.url }[wish.backdrop];
  backdrop.hidden = !url;
  if (!url || url === backdrop.getAttribute("src")) return;
  backdrop.src = url;
  await backdrop.decode().catch(() => {});
}

async function blurBackground() {
  const of = clear.url;
  if (blurred?.of === of) return;
  const blob = await toBlob(blurredBackground(original, await decoded(of)), "png");
  if (clear?.url !== of) return;
  if (blurred) URL.revokeObjectURL(blurred.url);
  blurred = { of, url: URL.createObjectURL(blob) };
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

// ---- size, format

// The widths below the picture's own, and the formats that can hold what is wished.
function offerSizes() {
  const natural = picture?.size?.width;
  if (wish.width >= natural) wish.width = null;
  const smaller = WIDTHS.filter(width => width < (natural ?? PREVIEW.width + 1));
  byId("width").replaceChildren(...smaller.map(width => new Option(`${width} px`, width)), new Option("Original", ""));
  byId("width").value = wish.width ?? "";
  for (const option of byId("format").options) option.disabled = !fits(option.value, wishedSize());
  if (!fits(wish.format, wishedSize())) wish.format = "png";
  byId("format").value = wish.format;
  note();
}

function note() {
  const tooLong = Object.keys(FORMATS).find(format => !fits(format, wishedSize()));
  byId("note").textContent = isMade() ? "Your browser puts this backdrop behind the cutout, in the download as well. The URL below is that of the transparent cutout."
    : tooLong ? `${FORMATS[tooLong].name} holds ${FORMATS[tooLong].side.toLocaleString("en")} pixels a side, so this picture is a PNG in full.`
    : wish.format === "jpeg" && !wish.colour ? "JPEG has no transparency: without a colour the backdrop is white." : "";
}

// ---- what the page is made of

// The samples, anew when a key came or went: an <img> cannot send one.
function drawSamples() {
  const list = byId("samples").querySelector("ul");
  for (const image of list.querySelectorAll("img")) URL.revokeObjectURL(image.src);
  byId("samples").hidden = !facts.samples.length;
  list.replaceChildren(...facts.samples.map(path => {
    const name = path.split("/").pop().split(".")[0];
    const image = make("img", { alt: "", width: 160, height: 100, draggable: false });
    showThumb(image, `${path}?w=320`);
    const button = make("button", {}, image, make("span", {}, name[0].toUpperCase() + name.slice(1)));
    button.onclick = () => {
      byId("url").value = "";
      giveOther({ path, encoded: false });
    };
    return make("li", {}, button);
  }));
}

async function showThumb(image, path) {
  if (!key()) return void (image.src = path);
  try {
    image.src = URL.createObjectURL(await (await fetchPicture(path)).blob());
  } catch { /* its name is there */ }
}

const gate = new Gate(byId, facts, () => {
  drawWays();
  if (gate.isOpen) ask();
  else if (picture) toStart();
});

function drawWays() {
  byId("ways").hidden = !gate.isOpen;
  document.body.classList.toggle("is-closed", !gate.isOpen);
  if (gate.isOpen) drawSamples();
}

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
    offerSizes();
    ask();
  };
}
byId("tier").value = wish.tier;

byId("delete").onclick = async () => {
  const { upload: sent } = picture;
  try {
    await deleteUpload(sent);
  } catch (error) {
    return say(error);
  }
  stopAll();
  tray.forget(sent);
  toStart();
  byId("done").textContent = "Your picture is deleted.";
  return byId("file").focus();
};
document.querySelector(".brand").onclick = () => remember(null);

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

drawWays();
try {
  const { source, ...known } = JSON.parse(sessionStorage.getItem("picture"));
  if (gate.isOpen) giveSource(source, known);
} catch { /* nothing is kept */ }
