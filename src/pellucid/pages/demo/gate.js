// The key of a customer, where this server has customers: asked for, checked, kept in the tab, forgotten.
import { isKey, keepKey, key } from "../session.js";
import { isWelcome } from "./follow.js";

const WHY = {
  needed: "This server cuts out pictures for its customers. With a customer's key you can try it here with your own.",
  optional: "This is a customer's address. With the customer's key it cuts out any picture, your own as well.",
};

export class Gate {
  // Of the page's facts: `need` is "needed", "optional", or null where there are no customers, `probe` a picture to try a
  // key with. `onChange` is called when what may be asked for has changed.
  constructor(byId, { key: need, samples: [probe] }, onChange) {
    Object.assign(this, { byId, need, probe, onChange });
    if (!need) return;
    byId("key-why").textContent = WHY[need];
    byId("key-form").onsubmit = event => {
      event.preventDefault();
      this.enter(byId("key").value.trim());
    };
    byId("key-give").onclick = () => {
      this.isAsking = true;
      this.draw();
      byId("key").focus();
    };
    byId("key-forget").onclick = () => this.leave("");
    this.isAsking = need === "needed";
    this.draw();
  }

  // Whether requests are answered, as far as this page knows.
  get isOpen() { return this.need !== "needed" || Boolean(key()); }

  async enter(value) {
    if (!isKey(value)) return this.fail("A key is made of letters, digits and signs, without spaces.");
    keepKey(value);
    try {
      if (!await isWelcome(this.probe)) return this.leave("That is no customer's key. Check it, then try again.");
    } catch (error) {
      keepKey("");
      return this.fail(error.sentence);
    }
    this.isAsking = false;
    this.fail("");
    this.draw();
    return this.onChange();
  }

  // Forget the key, and say why unless somebody wanted that.
  leave(why) {
    keepKey("");
    this.isAsking = this.need === "needed" || Boolean(why);
    this.fail(why);
    this.draw();
    this.onChange();
    this.byId(this.isAsking ? "key" : "key-give").focus();
  }

  fail(why) { this.byId("key-error").textContent = why; }

  draw() {
    const { byId } = this;
    byId("key-form").hidden = !this.isAsking || Boolean(key());
    byId("key-line").hidden = this.isAsking && !key();
    byId("key-give").hidden = Boolean(key());
    byId("key-forget").hidden = !key();
    byId("key-is").textContent = key() ? "Asked with your key." : "";
    byId("key").value = "";
  }
}
