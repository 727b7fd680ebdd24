// The picture: original and cutout in one place, a divider between them, zoom to the pixel.

const MAX_SCALE = 16, FIT_SCALE = 8, STEP = 1.5, GRAB_PX = 26, PIXELATED_FROM = 2, EDGE_SCALE = 4, PAN_PX = 60;

const within = (low, value, high) => Math.min(high, Math.max(low, value));
// Where a picture's side begins that may move by `room`: it fills the stage, or lies in its middle.
const place = (at, room) => room > 0 ? room / 2 : within(room, at, 0);

// Sizes are in CSS pixels, those of the picture in its own; at a scale of 1 they are the same. x and y are where the
// picture's corner lies in the stage. What is `drawn` may have fewer pixels than the picture: `onClose` is told when
// that is looked at closely.
export class Stage {
  constructor(byId, speak, onClose) {
    this.root = byId("stage");
    this.split = byId("split");
    this.readout = byId("zoom");
    this.views = this.root.querySelectorAll(".view");
    this.onClose = onClose;
    this.size = this.drawn = { width: 1200, height: 800 };
    this.scale = 1;
    this.isFit = true; // a state of its own: a scale says nothing while there is no stage to be seen
    this.x = this.y = 0;
    this.edge = null; // a point on the edge of the subject, in [0, 1]
    const acts = { out: () => this.zoomBy(1 / STEP), in: () => this.zoomBy(STEP), fit: () => this.fit(), one: () => this.lookAt(1), edge: () => this.lookAt(EDGE_SCALE) };
    this.buttons = {};
    for (const [name, act] of Object.entries(acts)) {
      this.buttons[name] = byId(`zoom-${name}`);
      this.buttons[name].onclick = () => {
        act();
        speak(this.readout.value);
      };
    }
    this.split.oninput = () => this.drawSplit();
    this.root.addEventListener("keydown", event => this.onKey(event));
    this.root.addEventListener("wheel", event => this.onWheel(event), { passive: false });
    this.root.addEventListener("dblclick", event => this.isFit ? this.zoomTo(EDGE_SCALE, ...this.placeOf(event)) : this.fit());
    this.followPointers();
    new ResizeObserver(() => this.onResize()).observe(this.root);
    this.drawSplit();
  }

  get width() { return this.root.clientWidth; }
  get height() { return this.root.clientHeight; }
  get fitScale() { return Math.min(FIT_SCALE, this.width / this.size.width, this.height / this.size.height) || 1; }

  // Another picture: nothing of the last one's zoom and place is kept.
  open() {
    this.isFit = true;
    this.edge = null;
  }

  // The picture has this size, of which `drawn` is to be seen; zoom and place stay.
  setSize(size, drawn = size) {
    this.root.style.setProperty("--ratio", within(0.5, size.width / size.height, 3)); // a strip gets room around it
    this.scale *= this.size.width / size.width;
    [this.size, this.drawn] = [size, drawn];
    this.onResize();
  }

  setSplit(share) {
    this.split.value = share;
    this.drawSplit();
  }

  drawSplit() {
    const share = Math.round(this.split.value);
    this.root.style.setProperty("--split", `${this.split.value}%`);
    this.split.setAttribute("aria-valuetext", `${share} % original, ${100 - share} % cutout`);
    this.root.classList.toggle("at-left", share < 14);
    this.root.classList.toggle("at-right", share > 86);
  }

  // Nothing but the original.
  close() {
    this.split.disabled = true;
    this.setSplit(100);
  }

  // Let the divider come in from the right, unless motion is unwanted.
  reveal() {
    this.split.disabled = this.held = false;
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.setSplit(50);
    const began = performance.now();
    const step = now => {
      const t = within(0, (now - began) / 900, 1);
      if (this.held || this.split.disabled) return;
      this.setSplit(50 + 50 * (1 - t) ** 3);
      if (t < 1) requestAnimationFrame(step);
    };
    return requestAnimationFrame(step);
  }

  fit() {
    this.isFit = true;
    this.onResize();
  }

  zoomBy(factor) { this.zoomTo(this.scale * factor, this.width / 2, this.height / 2); }

  // Zoom so that the picture's point below (x, y) of the stage stays there.
  zoomTo(scale, x, y) {
    const requested = within(this.fitScale, scale, MAX_SCALE);
    this.x = x - (x - this.x) * requested / this.scale;
    this.y = y - (y - this.y) * requested / this.scale;
    this.setScale(requested);
  }

  // Zoom with the edge of the subject in the middle, below the divider.
  lookAt(scale) {
    const [u, v] = this.edge || [0.5, 0.5];
    const requested = Math.max(this.fitScale, scale);
    this.x = this.width * this.split.value / 100 - u * this.size.width * requested;
    this.y = this.height / 2 - v * this.size.height * requested;
    this.setScale(requested);
  }

  setScale(scale) {
    this.scale = scale;
    this.isFit = scale <= this.fitScale * 1.001;
    this.draw();
    if (!this.isFit && this.drawn.width < this.size.width) this.onClose();
  }

  // The window, the phone or the picture has another shape: what is in the middle stays there.
  onResize() {
    const { width, height } = this;
    if (!width || !height) return; // not to be seen
    const last = this.seen || { width, height };
    this.seen = { width, height };
    this.x += (width - last.width) / 2;
    this.y += (height - last.height) / 2;
    if (this.isFit || this.scale < this.fitScale) {
      this.scale = this.fitScale;
      this.isFit = true;
    }
    this.draw();
  }

  draw() {
    const { width, height } = this.size;
    this.x = place(this.x, this.width - width * this.scale);
    this.y = place(this.y, this.height - height * this.scale);
    const scale = this.scale * width / this.drawn.width;
    for (const view of this.views) {
      Object.assign(view.style, {
        width: `${this.drawn.width}px`, height: `${this.drawn.width * height / width}px`, transform: `translate(${this.x}px, ${this.y}px) scale(${scale})`,
      });
    }
    this.root.classList.toggle("zoomed", !this.isFit);
    this.root.classList.toggle("pixels", scale >= PIXELATED_FROM && !this.isFit);
    this.readout.value = `${Math.round(this.scale * 100)} %`;
    this.buttons.out.disabled = this.buttons.fit.disabled = this.isFit;
    this.buttons.in.disabled = this.scale >= MAX_SCALE;
    this.buttons.one.disabled = this.fitScale >= 1;
  }

  placeOf(event) {
    const box = this.root.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrows = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const button = this.buttons[{ "+": "in", "=": "in", "-": "out", 0: "fit" }[event.key]];
    const arrow = event.target === this.root && !this.isFit && arrows[event.key]; // on the divider the arrows are its own
    if (!button && !arrow) return;
    event.preventDefault();
    if (button) return button.click();
    this.x += arrow[0] * PAN_PX;
    this.y += arrow[1] * PAN_PX;
    this.draw();
  }

  onWheel(event) {
    if (this.isFit && event.deltaY > 0 && !event.ctrlKey) return; // nothing to zoom out of: the page scrolls
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.zoomTo(this.scale * Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), ...this.placeOf(event));
  }

  // One pointer moves the divider, or a zoomed picture; two zoom.
  followPointers() {
    const pointers = new Map();
    let onSplit = false;
    const look = () => {
      const all = [...pointers.values()];
      const [[ax, ay], [bx, by]] = [all[0], all.at(-1)];
      return { x: (ax + bx) / 2, y: (ay + by) / 2, span: Math.hypot(ax - bx, ay - by) };
    };
    const moveSplit = x => this.setSplit(within(0, 100 * x / this.width, 100));
    const on = (type, act) => this.root.addEventListener(type, act);
    const lift = event => pointers.delete(event.pointerId);
    on("pointerdown", event => {
      if (event.button > 0) return;
      const [x, y] = this.placeOf(event);
      pointers.set(event.pointerId, [x, y]);
      this.root.setPointerCapture(event.pointerId);
      this.held = true;
      const isNear = Math.abs(x - this.width * this.split.value / 100) < GRAB_PX;
      onSplit = pointers.size === 1 && !this.split.disabled && (isNear || this.isFit);
      if (onSplit && event.pointerType === "mouse") moveSplit(x);
    });
    on("pointermove", event => {
      if (!pointers.has(event.pointerId)) return;
      const before = look();
      pointers.set(event.pointerId, this.placeOf(event));
      const now = look();
      if (onSplit) return moveSplit(now.x);
      this.x += now.x - before.x;
      this.y += now.y - before.y;
      return this.zoomTo(this.scale * (now.span / before.span || 1), now.x, now.y);
    });
    on("pointerup", lift);
    on("pointercancel", lift);
  }
}

// A half transparent point of `image` near its middle, as shares of its size; null where there is none.
export function findEdge(image) {
  const scale = Math.min(1, 320 / image.naturalWidth);
  const [width, height] = [image.naturalWidth, image.naturalHeight].map(side => Math.max(1, Math.round(side * scale)));
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  let best = null, nearest = Infinity;
  for (let y = 2; y < height - 2; y++) {
    for (let x = 2; x < width - 2; x++) {
      const alpha = data[4 * (y * width + x) + 3];
      if (alpha < 60 || alpha > 195) continue;
      const distance = Math.hypot(x / width - 0.5, y / height - 0.35); // the upper half: hair, handles
      if (distance < nearest) [best, nearest] = [[x / width, y / height], distance];
    }
  }
  return best;
}
