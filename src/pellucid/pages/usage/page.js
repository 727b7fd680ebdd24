// The usage page: asks /-/usage for JSON with the key of this tab and draws what comes.
import { authorization, isKey, keepKey, key } from "../session.js";
import { drawChart, longDay, number, shortDay } from "./chart.js";

const COLOURS = 6, TIERS = ["fast", "standard", "best"], SHOWN_ROWS = 12;
const at = id => document.getElementById(id);
const day = time => new Date(time).toISOString().slice(0, 10);
const DAY_MS = 86_400_000;
let asked = 0, shown = null;

class Refused extends Error {}

function make(name, { text, ...attributes } = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
}

async function ask(parameters) {
  const answer = await fetch(`/-/usage?${new URLSearchParams(parameters)}`, { headers: authorization(), cache: "no-store" });
  if (answer.status === 401) throw new Refused();
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail ?? problem.title ?? `The server answered ${answer.status}.`);
  }
  return answer;
}

const askJson = async parameters => (await ask({ format: "json", ...parameters })).json();

// What the range picker says, as parameters; the server knows which month it is.
function range() {
  const now = new Date();
  switch (new FormData(at("range")).get("range")) {
    case "last": return {
      from: day(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1, 1)),
      to: day(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 0)),
    };
    case "30": return { from: day(now - 29 * DAY_MS), to: day(now) };
    case "custom": return { from: at("from").value, to: at("to").value };
    default: return {};
  }
}

// As many names as there are colours; of more, one colour is left for all others.
const foremost = names => names.length > COLOURS ? names.slice(0, COLOURS - 1) : names;

function everyDay(from, to) {
  const days = [];
  for (let time = Date.parse(from); time <= Date.parse(to); time += DAY_MS) days.push(day(time));
  return days;
}

async function load() {
  const turn = ++asked, filters = range();
  document.body.classList.add("loading");
  at("range-error").textContent = "";
  try {
    const days = await askJson({ by: "day", ...filters });
    const [tiers, byTier, byToken, byHost] = await Promise.all(
      ["day,tier", "tier", "token", "host"].map(by => askJson({ by, ...filters })));
    const operator = Array.isArray(days.balance);
    // The dearest tokens one by one: all of them by day may be more rows than an answer has.
    const dearest = operator ? foremost(byToken.rows.map(row => row.token)) : [];
    const tokens = await Promise.all(dearest.map(token => askJson({ by: "day,token", token, ...filters })));
    if (turn !== asked) return;
    shown = { days, tiers: tiers.rows, tokens: tokens.flatMap(one => one.rows), byTier, byToken, byHost, operator };
    at("enter").hidden = true;
    at("report").hidden = false;
    draw();
  } catch (error) {
    if (turn !== asked) return;
    if (error instanceof Refused) leave("That is neither the operator's key nor a customer's.");
    else if (shown) at("range-error").textContent = error.message;
    else leave(error instanceof TypeError ? "The server cannot be reached." : error.message);
  } finally {
    if (turn === asked) document.body.classList.remove("loading");
  }
}

function draw() {
  const { days, byTier, byToken, byHost, operator } = shown;
  at("who-name").textContent = operator ? "All tokens" : days.balance.token;
  at("span").textContent = (days.from === days.to ? longDay(days.from) : `${longDay(days.from)} to ${longDay(days.to)}`) + " (UTC)";
  const { credits, removals } = days.total;
  at("sum-credits").textContent = number(credits);
  at("sum-removals").textContent = number(removals);
  at("sum-average").textContent = number(Math.round(credits / days.rows.length));
  drawBalances([days.balance].flat());
  at("token-card").hidden = !operator;
  document.querySelector(".tables").classList.toggle("one", !operator);
  drawDays();
  drawTable("by-tier", "Tier", "tier", byTier);
  drawTable("by-token", "Token", "token", byToken);
  drawTable("by-host", "Host or alias", "host", byHost);
  at("status").textContent = `${number(credits)} credits for ${number(removals)} removals.`;
}

function drawBalances(balances) {
  at("balances").classList.toggle("one", balances.length === 1);
  at("balance-legend").hidden = !balances.some(one => one.held);
  if (balances.length) at("resets").textContent = `A new month begins on ${longDay(balances[0].resets_at.slice(0, 10))}`;
  at("balances").replaceChildren(...balances.map(one => {
    const { token, limit, charged, held, remaining } = one;
    const any = limit === null;
    const meter = make("div", { class: "meter", "aria-hidden": "true" });
    for (const [name, value] of [["charged", charged], ["held", held]]) {
      const part = make("div", { class: name });
      part.style.width = `${limit ? Math.min(100, 100 * value / limit) : 100}%`;
      meter.append(part);
    }
    const waiting = held ? ` · ${number(held)} held` : "";
    const low = !any && remaining < limit / 10;
    const rest = any ? "No limit" : remaining ? `${number(remaining)} left` : "Nothing left this month";
    return make("li", { class: "balance" },
      make("div", { class: "line" }, make("span", { class: "name", text: token }),
        make("span", { class: "of", text: any ? number(charged) : `${number(charged)} of ${number(limit)}` })),
      ...(any ? [] : [meter]), make("span", { class: low ? "rest low" : "rest", text: rest + waiting }));
  }));
}

// The chart and its table: one series per tier, or for the dearest tokens with all others as one.
function drawDays() {
  const isEmpty = !shown.days.total.removals; // a month of zeros tells nothing
  at("nothing").hidden = !isEmpty;
  document.querySelector(".chart-and-table").hidden = isEmpty;
  at("stack").hidden = isEmpty || !shown.operator;
  if (isEmpty) return;
  const { days, tiers, tokens, byTier, byToken, operator } = shown;
  const dates = everyDay(days.from, days.to);
  const place = new Map(dates.map((date, index) => [date, index]));
  const byTokens = operator && stackedBy() === "token";
  const [field, source, ranking] = byTokens ? ["token", tokens, byToken] : ["tier", tiers, byTier];
  const ranked = ranking.rows.map(row => row[field]);
  if (!byTokens) ranked.sort((one, other) => TIERS.indexOf(one) - TIERS.indexOf(other));
  const named = foremost(ranked);
  const series = named.map((name, index) => ({ name, colour: `c${index}`, values: dates.map(() => 0) }));
  const of = new Map(series.map(one => [one.name, one]));
  for (const row of source) {
    const one = of.get(row[field]);
    if (one) one.values[place.get(row.day)] = row.credits;
  }
  if (named.length < ranked.length) {
    const rest = days.rows.map((row, index) => row.credits - series.reduce((sum, one) => sum + one.values[index], 0));
    if (rest.some(Boolean)) series.push({ name: "others", colour: `c${COLOURS}`, values: rest });
  }
  drawChart(at("chart"), at("day"), { days: dates, series, title: `Credits per day, by ${field}` });
  at("legend").replaceChildren(...series.map(one =>
    make("li", {}, make("span", { class: `key ${one.colour}`, "aria-hidden": "true" }), one.name)));
  const name = days.from.slice(0, 4) === days.to.slice(0, 4) ? shortDay : longDay;
  const lines = days.rows.map(row => make("tr", {}, make("th", { scope: "row", text: name(row.day) }),
    make("td", { class: "number", text: number(row.removals) }), make("td", { class: "number", text: number(row.credits) })));
  at("days").replaceChildren(make("table", {}, heads("Day", "Removals", "Credits"), make("tbody", {}, ...lines.reverse())));
}

const stackedBy = () => document.querySelector("#stack input:checked").value;

function heads(first, ...numbers) {
  return make("thead", {}, make("tr", {}, make("th", { scope: "col", text: first }),
    ...numbers.map(text => make("th", { scope: "col", class: "number", text }))));
}

function drawTable(room, title, field, { rows, total, truncated }, all = false) {
  if (!rows.length) {
    at(room).replaceChildren(make("p", { class: "empty", text: "Nothing was charged on these days." }));
    return;
  }
  const head = heads(title, "Removals", "Credits");
  head.firstChild.append(make("th", { scope: "col", class: "share", text: "Share" }));
  const most = Math.max(...rows.map(row => row.credits), 1);
  const lines = (all ? rows : rows.slice(0, SHOWN_ROWS)).map(row => {
    const share = total.credits ? 100 * row.credits / total.credits : 0;
    const bar = make("div", { "aria-hidden": "true" });
    bar.style.width = `${100 * row.credits / most}%`;
    return make("tr", {}, make("th", { scope: "row", text: row[field] || "unknown" }),
      make("td", { class: "number", text: number(row.removals) }),
      make("td", { class: "number", text: number(row.credits) }), make("td", { class: "share" }, make("div", { class: "of-all" }, make("span", { text: `${share.toFixed(1)} %` }),
        make("div", { class: "room" }, bar))));
  });
  at(room).replaceChildren(make("table", {}, head, make("tbody", {}, ...lines)));
  if (!all && rows.length > SHOWN_ROWS) {
    const more = make("button", { type: "button", class: "more quiet", text: `Show all ${number(rows.length)}` });
    more.addEventListener("click", () => drawTable(room, title, field, { rows, total, truncated }, true));
    at(room).append(more);
  } else if (truncated) {
    at(room).append(make("p", { class: "empty", text: `Only the first ${number(rows.length)} are shown.` }));
  }
}

async function download() {
  const button = at("download");
  button.disabled = true;
  try {
    const by = shown.operator ? "day,token,operation,tier,host" : "day,operation,tier,host";
    const answer = await ask({ ...range(), by, format: "csv" });
    const name = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? "usage.csv";
    const url = URL.createObjectURL(await answer.blob());
    make("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (error) {
    if (error instanceof Refused) leave("The key is not valid any more.");
    else at("range-error").textContent = error.message;
  } finally {
    button.disabled = false;
  }
}

function leave(why = "") {
  keepKey("");
  shown = null;
  asked++;
  document.body.classList.remove("loading");
  at("report").hidden = true;
  at("enter").hidden = false;
  at("key-error").textContent = why;
  at("key").value = "";
  at("key").focus();
}

at("key-form").addEventListener("submit", event => {
  event.preventDefault();
  const typed = at("key").value.trim();
  if (!isKey(typed)) return leave("A key is made of letters, digits and signs, without spaces.");
  keepKey(typed);
  at("key-error").textContent = "";
  load();
});
at("leave").addEventListener("click", () => leave());
at("download").addEventListener("click", download);
at("range").addEventListener("submit", event => {
  event.preventDefault();
  load();
});
at("range").addEventListener("change", event => {
  if (event.target.name !== "range") return;
  const custom = event.target.value === "custom";
  at("custom").hidden = !custom;
  if (!custom) load();
  else if (!at("from").value && shown) [at("from").value, at("to").value] = [shown.days.from, shown.days.to];
});
at("stack").addEventListener("change", drawDays);
let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (shown && window.innerWidth !== width) drawDays();
  width = window.innerWidth;
});

if (key()) load();
else leave();
