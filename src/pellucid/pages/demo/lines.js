// The lines to copy: URL, <img>, curl.
import { byId, make } from "./dom.js";

const CODES = { url: "URL", html: "HTML", curl: "curl line" };

export class Lines {
  constructor(speak) {
    this.speak = speak;
    for (const [name, title] of Object.entries(CODES)) {
      const code = make("code", { id: `code-${name}`, tabIndex: 0, role: "textbox", ariaReadOnly: "true", ariaMultiLine: "true", ariaLabel: title });
      const button = make("button", { className: "copy", ariaLabel: `Copy the ${title}` }, "Copy");
      button.onclick = () => this.copy(code, button);
      byId("lines").append(make("div", { className: "line" }, make("h3", {}, title.split(" ")[0]), code, button));
    }
  }

  write(lines, note) {
    for (const name of Object.keys(CODES)) byId(`code-${name}`).textContent = lines[name];
    byId("code-note").textContent = note;
    document.body.classList.add("has-result");
  }

  async copy(code, button) {
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch { // no clipboard on a page without TLS: select it, copy it the old way
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    this.speak("Copied");
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  }
}
