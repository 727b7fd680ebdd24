// What lies behind the cutout on the page: colours to choose from, the blurred background, a picture of one's own.
import { blurredBackground, toBlob } from "./composite.js";
import { byId, decoded, make } from "./dom.js";

const COLOURS = { clear: "Transparent", ffffff: "White", "1c1d20": "Black", e9e4da: "Sand", f3c9c0: "Rose", b9d4e4: "Sky", "0f766e": "Teal" };

export class Backdrops {
  // `choose(value, wait)` is told what is chosen: a colour, clear, blur or own; and ms to wait for another.
  constructor(choose) {
    this.image = byId("backdrop");
    this.own = null; // object URL of the picture that was chosen
    this.blurred = null; // {of, url}: the blurred background of the cutout at the object URL `of`
    for (const [value, name] of Object.entries(COLOURS)) {
      const face = make("span", { className: `face ${value}` });
      if (value !== "clear") face.style.backgroundColor = `#${value}`;
      const radio = make("input", { type: "radio", name: "backdrop", value, className: "unseen", checked: value === "clear", ariaLabel: name });
      byId("swatches").append(make("label", { title: name }, radio, face));
    }
    byId("backdrops").onchange = ({ target }) => target.name === "backdrop" && choose(target.value);
    byId("colour").oninput = event => choose(event.target.value.slice(1), 150);
    byId("colour").onclick = event => choose(event.target.value.slice(1));
  }

  mark(value, colour) {
    for (const radio of document.getElementsByName("backdrop")) radio.checked = radio.value === value;
    byId("own").setAttribute("aria-current", value === "own");
    byId("colour").setAttribute("aria-current", colour !== null && !(colour in COLOURS));
  }

  // Take `file` as the backdrop; throws where it is no picture that the browser shows.
  async take(file) {
    const url = URL.createObjectURL(file);
    await decoded(url);
    if (this.own) URL.revokeObjectURL(this.own);
    this.own = url;
  }

  // Show what was chosen. `cutout` is the object URL of the transparent cutout of `original`, where there is one.
  async draw(value, original, cutout) {
    if (value === "blur" && cutout) await this.blur(original, cutout);
    const url = { own: this.own, blur: this.blurred?.url }[value];
    this.image.hidden = !url;
    if (!url || url === this.image.getAttribute("src")) return;
    this.image.src = url;
    await this.image.decode().catch(() => {});
  }

  async blur(original, of) {
    if (this.blurred?.of === of) return;
    const url = URL.createObjectURL(await toBlob(blurredBackground(original, await decoded(of)), "png"));
    this.forget();
    this.blurred = { of, url };
  }

  // Another picture: its background is another one.
  forget() {
    if (this.blurred) URL.revokeObjectURL(this.blurred.url);
    this.blurred = null;
  }
}
