// A chart of stacked bars, one per day, as SVG. What it shows stands in the table beside it, too.
const SVG = "http://www.w3.org/2000/svg";
const LEFT = 52, RIGHT = 4, TOP = 10, BOTTOM = 24;

export const number = value => value.toLocaleString("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const format = (day, options) => new Date(day + "T00:00:00Z").toLocaleDateString("en-GB", { timeZone: "UTC", ...options });
export const shortDay = day => format(day, { day: "numeric", month: "short" });
export const longDay = day => format(day, { day: "numeric", month: "long", year: "numeric" });
const weekday = day => format(day, { weekday: "short", day: "numeric", month: "short" });

function make(name, attributes, parent, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
}

// The top of the scale and the step of its lines: 1, 2 or 5 times a power of ten, three to five lines.
function scale(most) {
  const rough = Math.max(most, 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, power * [1, 2, 5, 10].find(factor => factor * power >= rough));
  return { step, top: Math.max(step, Math.ceil(most / step) * step) };
}

// Draws `days` (["2026-11-25", ...]) with `series` ([{name, colour, values: [credits per day]}]) into `room`, and says
// in `line` what the day under the pointer holds; the arrow keys move from day to day.
export function drawChart(room, line, { days, series, title }) {
  const width = Math.max(280, Math.round(room.clientWidth)), height = width < 480 ? 220 : 290;
  const sums = days.map((_, at) => series.reduce((sum, one) => sum + one.values[at], 0));
  const { step, top } = scale(Math.max(...sums));
  const high = height - TOP - BOTTOM, wide = (width - LEFT - RIGHT) / days.length;
  const y = value => TOP + high * (1 - value / top);
  const x = at => LEFT + wide * at;

  const svg = make("svg", {
    viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: "0", "aria-labelledby": "svg-title svg-desc",
  });
  make("title", { id: "svg-title" }, svg, title);
  const best = sums.indexOf(Math.max(...sums));
  make("desc", { id: "svg-desc" }, svg, sums[best] === 0
    ? "No credits on any of these days."
    : `Stacked bars for ${days.length} days, ${series.map(one => one.name).join(", ")}. The most credits, `
      + `${number(sums[best])}, fell on ${longDay(days[best])}. Left and right arrow keys read the days out.`);
  for (let value = 0; value <= top; value += step) {
    make("line", { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), class: value ? "grid" : "base" }, svg);
    make("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, svg, short.format(value));
  }
  const lit = make("rect", { class: "lit", y: TOP, width: wide, height: high, visibility: "hidden" }, svg);
  const bar = Math.max(1, Math.min(wide - Math.min(6, wide * 0.25), 44));
  days.forEach((_, at) => {
    let below = 0;
    for (const one of series) {
      const value = one.values[at];
      if (!value) continue;
      // A hair of the ground between two parts keeps them apart without their colours.
      const tall = Math.max(0.75, y(below) - y(below + value) - (below ? 1 : 0));
      make("rect", {
        class: one.colour, x: x(at) + (wide - bar) / 2, y: y(below + value), width: bar, height: tall, rx: bar > 8 ? 1.5 : 0,
      }, svg);
      below += value;
    }
  });
  const every = Math.ceil(days.length / Math.max(2, Math.floor((width - LEFT) / 74)));
  days.forEach((day, at) => {
    // The last label is left out where it would be cut off.
    if (at % every || x(at) + wide / 2 + 22 > width) return;
    make("text", { x: x(at) + wide / 2, y: height - 6, "text-anchor": "middle" }, svg, shortDay(day));
  });

  let shown = -1;
  const show = at => {
    shown = at;
    lit.setAttribute("visibility", at < 0 ? "hidden" : "visible");
    line.replaceChildren();
    if (at < 0) return line.append("Point at a bar, or use the arrow keys, to read a day.");
    lit.setAttribute("x", x(at));
    const day = document.createElement("b");
    day.textContent = `${weekday(days[at])}: ${number(sums[at])}`;
    const parts = series.filter(one => one.values[at]).map(one => `${one.name} ${number(one.values[at])}`);
    line.append(day, parts.length > 1 || (parts.length && series.length > 1) ? `  ${parts.join(" · ")}` : "");
  };
  const point = event => {
    const box = svg.getBoundingClientRect();
    const at = Math.floor(((event.clientX - box.left) * width / box.width - LEFT) / wide);
    if (at !== shown) show(at >= 0 && at < days.length ? at : -1);
  };
  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointerleave", () => show(-1));
  svg.addEventListener("blur", () => show(-1));
  svg.addEventListener("keydown", event => {
    const last = days.length - 1;
    const next = {
      ArrowLeft: shown < 0 ? last : Math.max(0, shown - 1), ArrowRight: shown < 0 ? 0 : Math.min(last, shown + 1),
      Home: 0, End: last, Escape: -1,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    show(next);
  });
  room.replaceChildren(svg);
  show(-1);
}
