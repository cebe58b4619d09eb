// Keeps the page as it would be if it were loaded now: hears of news from the event stream, asks
// for the page again and changes what differs, in place.
"use strict";
(() => {
const $ = (id) => document.getElementById(id);
const base = document.body.dataset.base;
const live = $("live"), lost = $("lost"), said = $("said"), tip = $("tip");

// --- Moments, worded as the service words them.

const count = (n, unit) => n === 1 ? `1 ${unit}` : `${n} ${unit}s`;
const span = (s) => s < 60 ? count(s, "second") : s < 3600 ? count(Math.floor(s / 60), "minute")
  : s < 172800 ? count(Math.floor(s / 3600), "hour") : count(Math.floor(s / 86400), "day");
// The reader's clock may be off: what counts is the service's, which the page was made by.
let ahead = Date.now() - Date.parse(live.dataset.made);
const tick = () => {
  const now = Date.now() - ahead;
  for (const time of document.querySelectorAll("time[data-past]")) {
    const text = span(Math.max(0, Math.floor((now - Date.parse(time.dateTime)) / 1000)));
    if (time.textContent !== text) time.textContent = text;
  }
};
setInterval(tick, 1000);

// --- Changing the page in place: elements stay the same ones, and so keep focus and selection.

// What this script or the reader has changed of an element; the service knows nothing of it.
const own = new Set(["hidden", "open", "role", "tabindex", "aria-valuemin", "aria-valuemax",
  "aria-valuenow", "aria-valuetext"]);
const isOwn = (element, name) => own.has(name) && (name !== "role" || element.matches(".bars,.chart"));

function morph(from, to) {
  if (from.isEqualNode(to)) return;
  if (from.nodeType !== Node.ELEMENT_NODE) {
    from.nodeValue = to.nodeValue;
    return;
  }
  // A series that is being read keeps its cursor.
  if (from.id === "filter" || from.id === "matches") return;
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !isOwn(from, name)) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value && !isOwn(from, name)) from.setAttribute(name, value);
  }
  const named = new Map([...from.children].filter((c) => c.id).map((c) => [c.id, c]));
  let next = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const fits = next && !next.id && !wanted.id && next.nodeName === wanted.nodeName;
    const known = wanted.id ? named.get(wanted.id) : fits ? next : null;
    if (known) {
      if (known === next) next = next.nextSibling;
      else move(from, known, next);
      morph(known, wanted);
    } else {
      from.insertBefore(document.importNode(wanted, true), next);
    }
  }
  while (next) {
    const rest = next;
    next = next.nextSibling;
    if (!rest.classList?.contains("cursor")) rest.remove();
  }
}

function move(parent, child, before) {
  const focused = child.contains(document.activeElement) ? document.activeElement : null;
  parent.insertBefore(child, before);
  focused?.focus({ preventScroll: true });
}

// --- News.

const statuses = () =>
  new Map([...document.querySelectorAll("[data-status][data-name]")].map((e) => [e.dataset.name, e.dataset.status]));

function announce(before, after) {
  const news = [];
  for (const [name, status] of after) {
    if (before.has(name) && before.get(name) !== status) news.push(`${name} is ${status}`);
  }
  if (news.length > 3) news.splice(3, news.length, `and ${news.length - 3} more checks changed`);
  if (news.length) said.textContent = news.join(", ");
}

let asking = false, again = false, asked = 0, pending = 0;
async function refresh() {
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  asked = Date.now();
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
    // A check that is gone has a page that says so.
    if (!answer.ok && answer.status !== 404) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const before = statuses();
    const newStyle = fresh.querySelector("link[rel=stylesheet]")?.href.split("/").pop();
    // Another version of the service answers: its pages need its own style and script.
    if (newStyle !== document.querySelector("link[rel=stylesheet]").href.split("/").pop()) return location.reload();
    document.title = fresh.title;
    morph(document.documentElement.querySelector("link[rel=icon]"), fresh.querySelector("link[rel=icon]"));
    document.documentElement.dataset.status = fresh.documentElement.dataset.status;
    morph($("main"), fresh.getElementById("main"));
    ahead = Date.now() - Date.parse(fresh.getElementById("live").dataset.made);
    read();
    tick();
    filter();
    announce(before, statuses());
    reached();
  } catch {
    unreached();
  } finally {
    asking = false;
    if (again) soon();
    again = false;
  }
}
// Many changes at once are one.
function soon() {
  if (pending) return;
  const wait = Math.max(100, 1000 - (Date.now() - asked));
  pending = setTimeout(() => {
    pending = 0;
    refresh();
  }, wait);
}

// --- Whether the page is live.

let stream = null, heard = Date.now(), retry = 0, silentSince = 0, polling = false;
const clock = (at) => new Date(at).toLocaleTimeString();
function reached() {
  silentSince = 0;
  lost.hidden = true;
  live.classList.add("on");
  live.textContent = polling ? "Updated every 15 s" : "Live";
}
function unreached() {
  silentSince ||= heard;
  live.classList.remove("on");
  live.textContent = `Not live since ${clock(silentSince)}`;
  lost.textContent = `Not live since ${clock(silentSince)}. What is shown may be old; trying again.`;
  lost.hidden = false;
}
function hear() {
  heard = Date.now();
  retry = 0;
  polling = false;
}
function listen() {
  stream?.close();
  let summary = null;
  stream = new EventSource(`${base}events`);
  stream.onopen = () => {
    hear();
    soon();
  };
  stream.addEventListener("status", () => {
    hear();
    soon();
  });
  stream.addEventListener("gap", () => {
    hear();
    soon();
  });
  stream.addEventListener("summary", (event) => {
    hear();
    // A fleet's page is large: with nothing new it is asked for once a minute.
    const large = document.querySelectorAll(".check").length > 200;
    if (event.data !== summary || !large || Date.now() - asked > 60000) soon();
    summary = event.data;
  });
  stream.onerror = () => {
    if (stream.readyState !== EventSource.CLOSED) return;
    // Refused: there are too many streams, or it is about to stop. The page itself may be there.
    polling = true;
    heard = Date.now();
    retry = Math.min(15000, retry * 2 || 2000);
    setTimeout(listen, retry);
    soon();
  };
}
setInterval(() => {
  const silent = Date.now() - heard;
  if (document.hidden) return;
  // Summaries come every 15 s: a connection that brings none for so long is dead.
  if (silent > 40000) {
    heard = Date.now();
    listen();
  } else if (stream.readyState === EventSource.CONNECTING && silent > 3000) {
    unreached();
  }
}, 1000);
document.addEventListener("visibilitychange", () => document.hidden || soon());

// --- Numbers of each day and step, by pointer and by arrow keys.

const labels = new WeakMap();
const date = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", timeZone: "UTC" });
const words = { u: "up", g: "degraded", d: "down", "?": "unknown" };
function wording(series) {
  if (series.dataset.labels) return series.dataset.labels.split("|");
  const first = Date.parse(series.dataset.first), days = [];
  for (const part of series.dataset.days.split(",")) {
    const [key, times = "1"] = part.split("*");
    for (let i = 0; i < +times; i++) days.push(key);
  }
  return days.map((key, i) => {
    const day = date.format(first + i * 864e5);
    if (key === "n") return `${day}: nothing recorded`;
    const share = ((10000 - (+key.slice(1) || 0)) / 100).toFixed(2).replace(/\.00$/, "");
    return `${day}: ${share}%, ${words[key[0]]}`;
  });
}
function read() {
  for (const series of document.querySelectorAll("[data-days],[data-labels]")) {
    const source = series.dataset.days ? series.dataset.first + series.dataset.days : series.dataset.labels;
    if (labels.get(series)?.source === source) continue;
    const list = wording(series);
    labels.set(series, { source, list });
    const at = Math.min(+(series.getAttribute("aria-valuenow") ?? list.length - 1), list.length - 1);
    series.setAttribute("role", "slider");
    series.setAttribute("tabindex", "0");
    series.setAttribute("aria-valuemin", "0");
    series.setAttribute("aria-valuemax", list.length - 1);
    series.setAttribute("aria-valuenow", at);
    series.setAttribute("aria-valuetext", list[at]);
  }
}
let shown = null;
function show(series, at) {
  hide();
  const { list } = labels.get(series);
  const box = series.getBoundingClientRect(), view = series.viewBox.baseVal;
  const x = view.width * (at + 0.5) / list.length;
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "path");
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("d", `M${x} -3V${view.height + 3}`);
  series.append(cursor);
  tip.textContent = list[at];
  tip.hidden = false;
  const middle = box.left + box.width * (at + 0.5) / list.length - tip.offsetWidth / 2;
  tip.style.left = `${Math.max(8, Math.min(middle, document.documentElement.clientWidth - tip.offsetWidth - 8))}px`;
  const above = box.top - tip.offsetHeight - 10;
  tip.style.top = `${above > 4 ? above : box.bottom + 10}px`;
  series.setAttribute("aria-valuenow", at);
  series.setAttribute("aria-valuetext", list[at]);
  shown = series;
}
function hide() {
  shown?.querySelectorAll(".cursor").forEach((cursor) => cursor.remove());
  shown = null;
  tip.hidden = true;
}
const seriesAt = (event) => event.target.closest?.("[role=slider]");
document.addEventListener("pointermove", (event) => {
  const series = seriesAt(event);
  if (!series) return shown && document.activeElement !== shown && hide();
  const box = series.getBoundingClientRect(), count = labels.get(series).list.length;
  const at = Math.floor((event.clientX - box.left) / box.width * count);
  show(series, Math.max(0, Math.min(count - 1, at)));
});
document.addEventListener("focusin", (event) => {
  const series = seriesAt(event);
  if (series?.matches(":focus-visible")) show(series, +series.getAttribute("aria-valuenow"));
});
document.addEventListener("focusout", hide);
document.addEventListener("scroll", hide, { passive: true });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") return hide();
  const series = seriesAt(event);
  if (!series) return;
  const last = labels.get(series).list.length - 1, at = +series.getAttribute("aria-valuenow");
  const to = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, PageDown: at - 7,
    PageUp: at + 7, Home: 0, End: last }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  show(series, Math.max(0, Math.min(last, to)));
});

// --- The filter.

const box = $("filter");
function filter() {
  const list = $("list"), input = $("filter");
  if (!list || !input) return;
  const wanted = input.value.trim().toLowerCase();
  let count = 0;
  for (const check of list.children) {
    const { name, status } = check.dataset;
    const text = `${name} ${status} ${check.querySelector(".kind").textContent} ${check.querySelector(".notes")?.textContent ?? ""}`;
    check.hidden = !text.toLowerCase().includes(wanted);
    if (!check.hidden) count++;
  }
  $("matches").textContent = wanted ? `${count} of ${list.children.length}` : "";
  $("none").hidden = count > 0;
}
document.addEventListener("input", (event) => event.target.id === "filter" && filter());

read();
tick();
if (box?.value) filter();
listen();
})();
