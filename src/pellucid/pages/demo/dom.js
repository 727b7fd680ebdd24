// What several modules need of the document.
export const byId = id => document.getElementById(id);

export function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// The image at `url`, decoded; an object URL that is none is let go of.
export async function decoded(url, signal) {
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

// Give `image` another object URL and let go of the one it had, unless that is to be kept.
export function replace(image, url, kept) {
  const last = image.getAttribute("src");
  if (url) image.src = url;
  else image.removeAttribute("src");
  if (last && last !== kept && last !== url) URL.revokeObjectURL(last);
}
