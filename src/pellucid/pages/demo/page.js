// The page: what is given, what is asked for, what is shown. It talks to the public URL API only.
import { key } from "../session.js";
import { address, fileName, nameOf, readAddress, snippets, stemOf } from "./address.js";
import { Backdrops } from "./backdrops.js";
import { composite } from "./composite.js";
import { byId, decoded, make, replace } from "./dom.js";
import { deleteUpload, fetchPicture, followCutout, readState, readStatus, upload } from "./follow.js";
import { Gate } from "./gate.js";
import { Tray, describeFiles, sortFiles } from "./intake.js";
import { Lines } from "./lines.js";
import { Stage, findEdge } from "./stage.js";
import { drawSamples, onFiles, onPasteAndDrop } from "./ways.js";
import { FORMATS, PREVIEW, Options } from "./options.js";
import { Problem, bytes, creditRows, duration, seconds, stateWords } from "./words.js";

const facts = JSON.parse(byId("facts").textContent);
const stage = new Stage(byId, speak, lookClosely);
const lines = new Lines(speak);
const backdrops = new Backdrops(setBackdrop);
const options = new Options(facts.tier, facts.tier_is_default);
const SLOW_MS = 300, WIDTHS = [400, 800, 1200, 1600, 2400, 3200];
const [original, cutout] = [byId("before"), byId("cutout")];

// The picture at hand: {source: {path, encoded} once the server can fetch it, upload, name, size once it is known,
// shown: {width, height, bytes, path} while a cutout is to be seen, isClose once it was looked at closely}.
let picture = null;
let clear = null; // {key, url}: the transparent cutout, for previews of colours, for its edge and for the blur
let given = new AbortController(), asked = new AbortController();

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
  if (!facts.uploads) return say(new Problem("no-uploads"));
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

function giveSample(source) {
  byId("url").value = "";
  giveOther(source);
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
  if (clear) URL.revokeObjectURL(clear.url);
  clear = null;
  backdrops.forget();
  options.width = null;
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
  replace(image, url, clear?.url);
  await image.decode().catch(() => {});
  signal.throwIfAborted();
  return { width, height };
}

// ---- what is requested, and what of it is shown

const wanted = () => options.parameters(picture.size);
const requestedSize = () => options.sizeOf(picture?.size);
const showing = () => options.shown(picture.size, { isClose: picture.isClose, atLeast: original.naturalWidth });
const isExact = () => picture?.shown?.path === address(picture.source, wanted());
const clearKey = () => [showing().w, options.tier].join();

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
  picture.shown = { ...size, bytes: blob.size, type: blob.type.split("/")[1], path: address(picture.source, parameters) };
  cutout.style.backgroundColor = "";
  stage.setSize(isExact() ? size : requestedSize() ?? size, size);
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
  replace(cutout, null, clear?.url);
  stage.root.classList.remove("ready");
  stage.close();
  if (picture) picture.shown = null;
  drawDownload();
}

function writeCode(shown) {
  const parameters = wanted();
  const name = fileName(stemOf(picture.name), parameters.force_format);
  const size = isExact() ? shown : requestedSize() ?? shown;
  lines.write(
    snippets(picture.source, parameters, size, { name, key: Boolean(facts.key && key()) }),
    facts.key === "needed" ? "At this address the key is asked for, which an <img> cannot send. On your pages, use the URL with the host name that is yours." : "",
  );
}

// ---- the download: what is requested in full, named after the picture

let isSaving = false;
function drawDownload() {
  const link = byId("download");
  link.hidden = !picture?.shown;
  if (link.hidden) return;
  const size = isExact() ? picture.shown : requestedSize();
  link.textContent = isSaving ? "Preparing the picture" : `Download ${FORMATS[options.format].name}${size ? `, ${size.width} × ${size.height}` : ""}`;
  link.toggleAttribute("aria-busy", isSaving);
  link.href = isExact() ? cutout.src : address(picture.source, wanted());
  link.download = fileName(stemOf(picture.name), isExact() ? picture.shown.type : options.format); // WebP may be JPEG
}

byId("download").onclick = async event => {
  if (isExact() && !options.isMadeHere) return; // what is shown
  event.preventDefault();
  if (isSaving) return;
  const { signal } = given;
  const stem = stemOf(picture.name);
  isSaving = true;
  drawDownload();
  try {
    const blob = await wholePicture(signal);
    const url = URL.createObjectURL(blob);
    make("a", { href: url, download: fileName(stem, blob.type.split("/")[1]) }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (error) {
    if (!signal.aborted) say(error instanceof Problem ? error : new Problem("own-composite"));
  } finally {
    isSaving = false;
    drawDownload();
  }
};

// What is requested, as bytes: asked for where it is not shown, put before the backdrop where that is made here.
async function wholePicture(signal) {
  const { format, isMadeHere } = options;
  let blob = null;
  if (!isExact()) {
    const { state } = await followCutout(address(picture.source, wanted()), { signal, tell() {}, show: async each => { blob = each; } });
    if (state !== "ready") throw new Problem("not-ready");
  }
  if (!isMadeHere) return blob;
  const url = blob && URL.createObjectURL(blob);
  const made = await composite(url ? await decoded(url, signal) : cutout, backdrops.image, format);
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
    const { width, height } = isExact() ? shown : requestedSize() ?? shown;
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
  Object.assign(options, { backdrop: value, colour });
  backdrops.mark(value, colour);
  if (picture?.shown && clear?.key === clearKey() && stage.root.classList.contains("ready")) {
    replace(cutout, clear.url, clear.url);
    cutout.style.backgroundColor = colour ? `#${colour}` : "";
    picture.shown.path = null;
  }
  drawBackdrop();
  byId("note").textContent = options.note(picture?.size);
  clearTimeout(soon);
  soon = setTimeout(ask, wait);
}

function drawBackdrop() {
  stage.root.dataset.backdrop = options.backdrop;
  return backdrops.draw(options.backdrop, original, clear?.url);
}

async function setOwn(file) {
  try {
    await backdrops.take(file);
  } catch {
    return say(new Problem("own-backdrop"));
  }
  say(null);
  return setBackdrop("own");
}

// ---- size, format

// The widths below the picture's own, and the formats that can hold what is requested.
function offerSizes() {
  const size = picture?.size;
  if (options.width >= size?.width) options.width = null;
  const smaller = WIDTHS.filter(width => width < (size?.width ?? PREVIEW.width + 1));
  byId("width").replaceChildren(...smaller.map(width => new Option(`${width} px`, width)), new Option("Original", ""));
  byId("width").value = options.width ?? "";
  for (const option of byId("format").options) option.disabled = !options.fits(option.value, size);
  if (!options.fits(options.format, size)) options.format = "png";
  byId("format").value = options.format;
  byId("note").textContent = options.note(size);
}

// ---- what the page is made of

const gate = new Gate(byId, facts, () => {
  drawWays();
  if (gate.isOpen) ask();
  else if (picture) toStart();
});

function drawWays() {
  byId("ways").hidden = !gate.isOpen;
  document.body.classList.toggle("is-closed", !gate.isOpen);
  if (gate.isOpen) drawSamples(facts.samples, giveSample);
}

byId("drop").hidden = !facts.uploads;
if (facts.uploads) byId("drop-note").textContent = `Up to ${bytes(facts.uploads.max_bytes)}. Only those who know its URL can see it. Deleted after ${duration(facts.uploads.keep_s)}, or when you say so.`;

// ---- wiring

onFiles("file", giveFiles);
onFiles("own", ([file]) => setOwn(file));
byId("by-url").onsubmit = event => {
  event.preventDefault();
  giveAddress(byId("url").value);
};
for (const id of ["width", "format", "tier"]) {
  byId(id).onchange = event => {
    options[id] = id === "width" ? Number(event.target.value) || null : event.target.value;
    offerSizes();
    ask();
  };
}
byId("tier").value = options.tier;

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

onPasteAndDrop({ giveFiles, giveAddress, say });

drawWays();
try {
  const { source, ...known } = JSON.parse(sessionStorage.getItem("picture"));
  if (gate.isOpen) giveSource(source, known);
} catch { /* nothing is kept */ }
