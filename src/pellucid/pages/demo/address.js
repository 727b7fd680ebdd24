// Addresses of the URL API, the lines that a page or a shell would use, and the names of files.

// The origin as a path of this server: {path, encoded}. `encoded` where it has a query of its own. Without a scheme the
// server tries https, then http, so only http:// is kept. Throws TypeError for what is no address of the web.
export function readAddress(text) {
  const typed = text.trim();
  const url = new URL(/^[a-z][a-z\d+.-]*:\/\//i.test(typed) ? typed : typed.startsWith("/") ? location.origin + typed : "https://" + typed);
  if (!/^https?:$/.test(url.protocol) || !url.host || url.username) throw new TypeError("no web address");
  if (url.origin === location.origin) {
    return { path: plain(url.pathname), encoded: url.searchParams.get("ci_url_encoded") === "1" };
  }
  const origin = (url.protocol === "http:" ? "http://" : "") + url.host + url.pathname;
  return url.search
    ? { path: "/" + plain(encodeURIComponent(origin + url.search)), encoded: true }
    : { path: "/" + plain(origin), encoded: false };
}

// A quote would end the argument of the curl line.
const plain = path => path.replaceAll("'", "%27");

// Path and query of a picture of `source` ({path, encoded}) with these parameters; those without a value are left out.
export function address(source, parameters) {
  const all = { ...parameters, ci_url_encoded: source.encoded ? 1 : null };
  const query = Object.entries(all).filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => `${name}=${value}`);
  return source.path + (query.length ? "?" + query.join("&") : "");
}

// The parameters of the cutout that is requested for. The format is always named: without it a browser's <img> may get
// WebP where curl gets PNG, and the URL would not be that of the picture shown.
export function cutoutParameters({ width, tier, colour, format }, defaultTier) {
  return { w: width, bg_remove: 1, bg_quality: tier === defaultTier ? null : tier, bg_color: colour, force_format: format };
}

// The stem of a picture's name, from that of a file or from the path of `source`: "mug" of "mug.jpg". What no file system
// takes, what a shell would read and what hides (controls, marks of direction) is left out.
export function stemOf(name) {
  const stem = name.replace(/\.[a-z\d]{1,5}$/i, "").replace(/[\p{C}\s\\/:*?"'<>|]+/gu, " ").trim();
  return [...stem].slice(0, 80).join("").replace(/^[.\-\s]+/, "");
}

export function nameOf({ path, encoded }) {
  const whole = encoded ? decoded(path).split("?")[0] : path;
  return decoded(whole.split("/").pop());
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch { // a lone % is part of the name
    return text;
  }
}

// The name that a cutout is saved under.
export const fileName = (stem, format) => `${stem ? `${stem}-` : ""}cutout.${format === "jpeg" ? "jpg" : format}`;

// The three lines to copy, for a picture of `width` x `height` that is saved as `name`. With `key` the shell's variable
// of that name is sent: an <img> cannot send one.
export function snippets(source, parameters, { width, height }, { name, key }) {
  const half = Math.max(1, Math.round(width / 2));
  const [url, smaller] = [parameters, { ...parameters, w: half }].map(each => location.origin + address(source, each));
  const text = value => value.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
  const html = `<img src="${text(url)}"
     srcset="${text(smaller)} ${half}w,
             ${text(url)} ${width}w"
     sizes="(min-width: ${width}px) ${width}px, 100vw" width="${width}" height="${height}" alt="">`;
  return { url, html, curl: `curl ${key ? '-H "Authorization: Bearer $KEY" ' : ""}-o '${name}' '${url}'` };
}
