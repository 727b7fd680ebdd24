// The key of this tab, where one was given: kept until the tab is closed, sent to this server and to no other.
const NAME = "pellucid-key";
let held = ""; // where the browser keeps nothing

export function key() {
  try {
    return sessionStorage.getItem(NAME) ?? held;
  } catch {
    return held;
  }
}

export function keepKey(value) {
  held = value;
  try {
    if (value) sessionStorage.setItem(NAME, value);
    else sessionStorage.removeItem(NAME);
  } catch { /* it is held here */ }
}

// Whether `text` may be a key: what a header can carry.
export const isKey = text => /^[!-~]+$/.test(text);

// The headers that say whose request it is.
export const authorization = () => key() ? { authorization: `Bearer ${key()}` } : {};
