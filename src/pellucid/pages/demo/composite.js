// Backdrops that the browser puts behind the cutout: the original without its subject, blurred; a picture of one's own.

const WORK_PX = 320; // a blur has no detail: it is made at this width
const BLUR_SHARE = 0.02; // of the width: the radius of the blur
const BOXES = 3; // so many box filters in a row are a Gaussian but for 3 %
const HARD = 8; // a share of background of 1/8 in a pixel of the pyramid is as good as one

// A canvas with the background of `original` all over, blurred. Where the subject is, by the alpha of `cutout`, what lies
// around it is drawn in: blurring the original itself would leave a glow of the subject's own colours around it.
export function blurredBackground(original, cutout) {
  const width = Math.min(WORK_PX, original.naturalWidth);
  const height = Math.max(1, Math.round(original.naturalHeight * width / original.naturalWidth));
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const pixelsOf = image => {
    context.clearRect(0, 0, width, height);
    context.drawImage(image, 0, 0, width, height);
    return context.getImageData(0, 0, width, height);
  };
  const picture = pixelsOf(original);
  const filled = fillHoles(weigh(picture.data, pixelsOf(cutout).data, width, height));
  const radius = Math.max(1, Math.round(width * BLUR_SHARE));
  for (let pass = 0; pass < BOXES; pass++) blurBox(filled, radius);
  for (let at = 0; at < width * height; at++) {
    for (let band = 0; band < 3; band++) picture.data[4 * at + band] = filled.data[3 * at + band];
    picture.data[4 * at + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

// How much of each pixel is background: the original's alpha without the cutout's, nothing beside the subject, where
// the matte's edge may be a pixel off. Colours are multiplied by it.
function weigh(original, cutout, width, height) {
  const level = { width, height, data: new Float32Array(3 * width * height), weight: new Float32Array(width * height) };
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      let alpha = 0;
      for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++) {
        for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) alpha = Math.max(alpha, cutout[4 * (v * width + u) + 3]);
      }
      const weight = original[4 * at + 3] / 255 * (1 - alpha / 255) ** 2;
      level.weight[at] = weight;
      for (let band = 0; band < 3; band++) level.data[3 * at + band] = weight * original[4 * at + band];
    }
  }
  return level;
}

// Push and pull (Gortler et al. 1996, The Lumigraph, section 3.4): means of what is known are taken on ever coarser
// levels, and fill what is not known on the way back.
function fillHoles(level) {
  const { width, height, data, weight } = level;
  if (width === 1 && height === 1) return { ...level, data: data.map(value => weight[0] ? value / weight[0] : 128) };
  const coarse = halved(level);
  const rest = fillHoles(coarse);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const known = weight[at];
      const trust = Math.min(1, HARD * known);
      for (let band = 0; band < 3; band++) {
        const there = known ? data[3 * at + band] / known : 0;
        data[3 * at + band] = trust * there + (1 - trust) * between(rest, (x + 0.5) / 2 - 0.5, (y + 0.5) / 2 - 0.5, band);
      }
    }
  }
  return level;
}

function halved({ width, height, data, weight }) {
  const [w, h] = [Math.ceil(width / 2), Math.ceil(height / 2)];
  const half = { width: w, height: h, data: new Float32Array(3 * w * h), weight: new Float32Array(w * h) };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [from, to] = [y * width + x, (y >> 1) * w + (x >> 1)];
      half.weight[to] += weight[from] / 4;
      for (let band = 0; band < 3; band++) half.data[3 * to + band] += data[3 * from + band] / 4;
    }
  }
  return half;
}

function between({ width, height, data }, x, y, band) {
  const clamp = (value, side) => Math.min(side - 1, Math.max(0, value));
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const at = (u, v) => data[3 * (clamp(v, height) * width + clamp(u, width)) + band];
  const row = v => at(left, v) + (at(left + 1, v) - at(left, v)) * (x - left);
  return row(top) + (row(top + 1) - row(top)) * (y - top);
}

// The mean of `radius` pixels to each side, along rows and then along columns, in place.
function blurBox({ width, height, data }, radius) {
  const alongLine = (start, step, count) => {
    const line = Float32Array.from({ length: count }, (_, at) => data[start + at * step]);
    const at = place => line[Math.min(count - 1, Math.max(0, place))];
    let sum = 0;
    for (let place = -radius; place <= radius; place++) sum += at(place);
    for (let place = 0; place < count; place++) {
      data[start + place * step] = sum / (2 * radius + 1);
      sum += at(place + radius + 1) - at(place - radius);
    }
  };
  for (let band = 0; band < 3; band++) {
    for (let y = 0; y < height; y++) alongLine(3 * y * width + band, 3, width);
    for (let x = 0; x < width; x++) alongLine(3 * x + band, 3 * width, height);
  }
}

// `cutout` before `backdrop`, which covers it, at the cutout's size, as a file of `format`; one of another format where
// the browser cannot write that. null for what is more than its canvas holds.
export async function composite(cutout, backdrop, format) {
  const { naturalWidth: width, naturalHeight: height } = cutout;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  const [w, h] = [backdrop.naturalWidth, backdrop.naturalHeight];
  const cover = Math.max(width / w, height / h);
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#fff";
  if (format === "jpeg") context.fillRect(0, 0, width, height); // a backdrop may be transparent itself
  context.drawImage(backdrop, (width - w * cover) / 2, (height - h * cover) / 2, w * cover, h * cover);
  context.drawImage(cutout, 0, 0, width, height);
  return toBlob(canvas, format);
}

export const toBlob = (canvas, format) => new Promise(resolve => canvas.toBlob(resolve, `image/${format}`, 0.92));
