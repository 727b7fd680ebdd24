// What is requested of a picture, and what of it is shown. Sizes are {width, height} in pixels, undefined where not known.
import { cutoutParameters } from "./address.js";

export const FORMATS = { webp: { name: "WebP", side: 16383 }, png: { name: "PNG", side: Infinity }, jpeg: { name: "JPEG", side: 65535 } };

// What is shown of a picture at first; what of a larger one when it is looked at closely: pixels a browser holds easily.
export const PREVIEW = { width: 1600, height: 4096 };
const CLOSE_PIXELS = 24e6;

export class Options {
  // `isDefault`: whether a URL that names no tier means this one, whoever asks.
  constructor(tier, isDefault) {
    Object.assign(this, { defaultTier: isDefault ? tier : null, tier, width: null, format: "webp", backdrop: "clear", colour: null });
  }

  // Whether the browser makes the backdrop, behind a transparent cutout.
  get isMadeHere() { return this.backdrop === "own" || this.backdrop === "blur"; }

  // The size of what is requested of a picture of `size`.
  sizeOf(size) {
    if (!size || !this.width) return size;
    return { width: this.width, height: Math.max(1, Math.round(size.height * this.width / size.width)) };
  }

  // Whether `format` can hold what is requested.
  fits(format, size) {
    const { width, height } = this.sizeOf(size) ?? { width: 0, height: 0 };
    return Math.max(width, height) <= FORMATS[format].side;
  }

  // The parameters of what is requested: those of the download, and of the lines to copy.
  parameters(size, width = this.width) {
    const transparent = ["webp", "png"].find(format => this.fits(format, size));
    const format = this.isMadeHere && this.format === "jpeg" ? transparent : this.format;
    return cutoutParameters({ width, tier: this.tier, colour: this.colour, format }, this.defaultTier);
  }

  // Those of what is shown: of a large picture in full a preview, until it is looked at closely. Of a picture whose size
  // is not known `atLeast` is the width that it has in any case.
  shown(size, { isClose, atLeast }) {
    if (this.width) return this.parameters(size);
    if (!size) return this.parameters(size, atLeast < PREVIEW.width ? null : PREVIEW.width);
    const { width, height } = size;
    const close = Math.min(Math.sqrt(CLOSE_PIXELS / (width * height)), FORMATS.webp.side / Math.max(width, height));
    const share = isClose ? close : Math.min(PREVIEW.width / width, PREVIEW.height / height);
    return this.parameters(size, share < 1 ? Math.max(1, Math.floor(width * share)) : null);
  }

  // What is to be said of the format and the backdrop.
  note(size) {
    if (this.isMadeHere) return "Your browser puts this backdrop behind the cutout, in the download as well. The URL below is that of the transparent cutout.";
    const tooSmall = Object.keys(FORMATS).find(format => !this.fits(format, size));
    if (tooSmall) return `${FORMATS[tooSmall].name} holds ${FORMATS[tooSmall].side.toLocaleString("en")} pixels a side, so this picture is a PNG in full.`;
    return this.format === "jpeg" && !this.colour ? "JPEG has no transparency: without a colour the backdrop is white." : "";
  }
}
