// The picture: original and cutout in one place, a divider between them, zoom to the pixel.

const MAX_SCALE = 16, STEP = 1.5, GRAB_PX = 26, PIXELATED_FROM = 2, EDGE_SCALE = 4, PAN_PX = 60;
export const BLUR_SHARE = 0.02; // of the width: the radius of a blurred backdrop

// Sizes are in CSS pixels, those of the picture in its own; at a scale of 1 they are the same. x and y are where the
// picture's corner lies in the stage.
export class Stage {
  constructor(byId) {
    this.root = byId("stage");
    this.split = byId("split");
    this.readout = byId("zoom");
    this.views = this.root.querySelectorAll(".view");
    this.size = { width: 1, height: 1 };
    this.scale = 1;
    this.x = this.y = 0;
    this.edge = null; // a point on the edge of the subject, in [0, 1]
    this.buttons = { out: byId("zoom-out"), in: byId("zoom-in"), fit: byId("zoom-fit"), one: byId("zoom-one"), edge: byId("zoom-edge") };
    this.buttons.out.onclick = () => this.zoomBy(1 / STEP);
    this.buttons.in.onclick = () => this.zoomBy(STEP);
    this.buttons.fit.onclick = () => this.fit();
    this.buttons.one.onclick = () => this.lookAt(1);
    this.buttons.edge.onclick = () => this.lookAt(EDGE_SCALE);
    this.split.oninput = () => this.drawSplit();
    this.root.addEventListener("keydown", event => this.onKey(event));
    this.root.addEventListener("wheel", event => this.onWheel(event), { passive: false });
    this.root.addEventListener("dblclick", event => this.isFit ? this.zoomTo(EDGE_SCALE, ...this.placeOf(event)) : this.fit());
    this.followPointers();
    new ResizeObserver(() => this.onResize()).observe(this.root);
    this.drawSplit();
  }

  get fitScale() { return this.root.clientWidth / this.size.width || 1; }
  get isFit() { return this.scale <= this.fitScale * 1.001; }

  // Take a picture of this size; one of the same proportions keeps zoom and place.
  setSize(width, height) {
    const same = Math.abs(width / height - this.size.width / this.size.height) < 0.02 && !this.isFit;
    this.root.style.setProperty("--ratio", width / height);
    this.root.style.setProperty("--blur", width * BLUR_SHARE);
    const ratio = this.size.width / width;
    this.size = { width, height };
    if (same) this.scale *= ratio;
    else this.scale = 0;
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

  // Let the divider come in from the right, unless motion is unwanted.
  reveal() {
    this.split.disabled = false;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (still) return this.setSplit(50);
    const began = performance.now();
    const step = now => {
      const t = Math.min(1, Math.max(0, now - began) / 900);
      if (this.held) return;
      this.setSplit(50 + 50 * (1 - t) ** 3);
      if (t < 1) requestAnimationFrame(step);
    };
    this.held = false;
    requestAnimationFrame(step);
  }

  fit() {
    this.scale = this.fitScale;
    this.draw();
  }

  zoomBy(factor) { this.zoomTo(this.scale * factor, this.root.clientWidth / 2, this.root.clientHeight / 2); }

  // Zoom so that the picture's point below (x, y) of the stage stays there.
  zoomTo(scale, x, y) {
    const wished = Math.min(MAX_SCALE, Math.max(this.fitScale, scale));
    this.x = x - (x - this.x) * wished / this.scale;
    this.y = y - (y - this.y) * wished / this.scale;
    this.scale = wished;
    this.draw();
  }

  // Zoom with the edge of the subject in the middle, below the divider.
  lookAt(scale) {
    const [u, v] = this.edge || [0.5, 0.5];
    this.scale = Math.max(this.fitScale, scale);
    this.x = this.root.clientWidth * this.split.value / 100 - u * this.size.width * this.scale;
    this.y = this.root.clientHeight / 2 - v * this.size.height * this.scale;
    this.draw();
  }

  onResize() {
    if (this.scale < this.fitScale || this.wasFit) this.scale = this.fitScale;
    this.draw();
  }

  draw() {
    const { width, height } = this.size;
    const [roomX, roomY] = [this.root.clientWidth - width * this.scale, this.root.clientHeight - height * this.scale];
    this.x = Math.min(0, Math.max(Math.min(0, roomX), this.x));
    this.y = Math.min(0, Math.max(Math.min(0, roomY), this.y));
    for (const view of this.views) {
      view.style.width = `${width}px`;
      view.style.height = `${height}px`;
      view.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    }
    this.wasFit = this.isFit;
    this.root.classList.toggle("zoomed", !this.isFit);
    this.root.classList.toggle("pixels", this.scale >= PIXELATED_FROM && !this.isFit);
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
    const act = { "+": () => this.zoomBy(STEP), "=": () => this.zoomBy(STEP), "-": () => this.zoomBy(1 / STEP), 0: () => this.fit() }[event.key];
    const arrow = event.target === this.root && !this.isFit && arrows[event.key]; // on the divider the arrows are its own
    if (!act && !arrow) return;
    event.preventDefault();
    if (act) return act();
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
    let dragging = null, span = 0;
    const middle = () => {
      const [a, b] = [...pointers.values()];
      return { x: (a[0] + b[0]) / 2, y: (a[1] + b[1]) / 2, span: Math.hypot(a[0] - b[0], a[1] - b[1]) };
    };
    this.root.addEventListener("pointerdown", event => {
      if (event.button > 0) return;
      const place = this.placeOf(event);
      pointers.set(event.pointerId, place);
      this.root.setPointerCapture(event.pointerId);
      this.held = true;
      const onDivider = Math.abs(place[0] - this.root.clientWidth * this.split.value / 100) < GRAB_PX;
      dragging = !this.split.disabled && (onDivider || this.isFit) ? "split" : "picture";
      if (pointers.size === 2) span = middle().span;
      if (dragging === "split" && pointers.size === 1 && event.pointerType === "mouse") this.splitTo(place[0]);
      this.root.classList.add("held");
    });
    this.root.addEventListener("pointermove", event => {
      const last = pointers.get(event.pointerId);
      if (!last) return;
      const place = this.placeOf(event);
      const before = pointers.size === 2 && middle();
      pointers.set(event.pointerId, place);
      if (pointers.size === 2) {
        const now = middle();
        this.x += now.x - before.x;
        this.y += now.y - before.y;
        this.zoomTo(this.scale * now.span / (span || now.span), now.x, now.y);
        span = now.span;
      } else if (dragging === "split") {
        this.splitTo(place[0]);
      } else {
        this.x += place[0] - last[0];
        this.y += place[1] - last[1];
        this.draw();
      }
    });
    for (const type of ["pointerup", "pointercancel"]) {
      this.root.addEventListener(type, event => {
        pointers.delete(event.pointerId);
        if (pointers.size === 1) dragging = "picture";
        if (!pointers.size) this.root.classList.remove("held");
      });
    }
  }

  splitTo(x) { this.setSplit(Math.min(100, Math.max(0, 100 * x / this.root.clientWidth))); }
}

// A half transparent point of `image` near its middle, as shares of its size; null where there is none.
export function findEdge(image) {
  const scale = Math.min(1, 320 / image.naturalWidth);
  const [width, height] = [Math.max(1, Math.round(image.naturalWidth * scale)), Math.max(1, Math.round(image.naturalHeight * scale))];
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
